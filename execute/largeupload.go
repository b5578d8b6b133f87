package execute

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"midge/artifacts/transfer"
)

// LargeUploadError tells that more would be sent than is allowed without asking.
type LargeUploadError struct {
	What    string              // the input "src"
	Bytes   int64               // to be sent
	Max     int64               // UploadOptions.MaxUpload
	Largest []transfer.PathSize // those of which most would be sent, the largest first
}

// maxLargestNamed is how many paths an error names.
const maxLargestNamed = 5

func (e *LargeUploadError) Error() string {
	return fmt.Sprintf("%s would send %s, and --max-upload is %s; most of it is %s; name what the task does not need in .midgeignore, or raise --max-upload",
		e.What, humanize.Bytes(uint64(e.Bytes)), humanize.Bytes(uint64(e.Max)), e.LargestNamed())
}

// LargestNamed gives some of the largest paths with their sizes, for a sentence.
func (e *LargeUploadError) LargestNamed() string {
	var named []string
	for _, file := range e.Largest[:min(len(e.Largest), maxLargestNamed)] {
		named = append(named, fmt.Sprintf("%s (%s)", file.Path, humanize.Bytes(uint64(file.Bytes))))
	}
	return strings.Join(named, ", ")
}
