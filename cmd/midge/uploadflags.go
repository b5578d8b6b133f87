package main

import (
	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"midge/api"
	"midge/artifacts/transfer"
	"midge/execute"
)

// uploadFlags are those of commands that send directories.
type uploadFlags struct {
	includeIgnored, includeGit, dryRun bool
	maxUpload                          byteCount
}

// defaultMaxUpload is how much is sent without asking, in bytes.
const defaultMaxUpload = 2 << 30

func (f *uploadFlags) add(flags *pflag.FlagSet) {
	f.maxUpload = defaultMaxUpload
	flags.BoolVar(&f.includeIgnored, "include-ignored", false, "send also what git or .midgeignore ignores, all but .git")
	flags.BoolVar(&f.includeGit, "include-git", false, "send also what is named .git")
	flags.Var(&f.maxUpload, "max-upload", "how much of a directory may be sent without asking, like 500MB: `SIZE`; 0 for any")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be sent and what is ignored, and do no more")
}

// options gives them as package execute takes them; view asks about large uploads.
func (f *uploadFlags) options(view *executionView) execute.UploadOptions {
	return execute.UploadOptions{
		IncludeIgnored: f.includeIgnored,
		IncludeGit:     f.includeGit,
		MaxUpload:      int64(f.maxUpload),
		Confirm:        view.confirm,
		DryRun:         f.dryRun,
		CacheDir:       cacheDir(),
	}
}

// byteCount is a number of bytes as a flag's value, like 500MB or 2GiB.
type byteCount int64

func (b *byteCount) Set(text string) error {
	bytes, err := humanize.ParseBytes(text)
	if err != nil {
		return err
	}
	*b = byteCount(min(bytes, 1<<62))
	return nil
}

func (b *byteCount) String() string { return humanize.IBytes(uint64(*b)) }

func (b *byteCount) Type() string { return "size" }

// uploaded is the answer of push, for programs.
type uploaded struct {
	Artifact api.Artifact     `json:"artifact"`
	Receipt  transfer.Receipt `json:"receipt"`
}

// downloaded is the answer of pull, for programs.
type downloaded struct {
	Artifact api.Artifact          `json:"artifact"`
	Receipt  transfer.FetchReceipt `json:"receipt"`
}
