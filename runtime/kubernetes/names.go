package kubernetes

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"midge/agent"
)

// Labels and annotations of what a worker makes. A label's value is bounded in length
// and in letters, so the labels have digests where the annotations have the handles.
const (
	labelWorker         = "midge/worker"
	labelServer         = "midge/server" // which worker of that name
	labelContainer      = "midge/container"
	annotationContainer = "midge/handle"
	annotationVolumes   = "midge/volumes"
)

// openIdentity gives what tells the worker with that state directory from others of its name
// in a namespace: the pods of another server's builds have the same handles.
func openIdentity(dir string) (string, error) {
	file := filepath.Join(dir, "identity")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte(strings.ToLower(rand.Text()))
		err = renameio.WriteFile(file, text, 0o600) // on the disk: pods outlive this machine
	}
	if err != nil {
		return "", fmt.Errorf("tell the worker from others of its name: %w", err)
	}
	return string(text), nil
}

// own are the labels of what is this worker's.
func (w *Worker) own() labels.Set {
	return labels.Set{labelWorker: labelValue(w.Name()), labelServer: w.identity}
}

func validHandle(handle string) bool { return agent.ValidID(handle) }

// digest names a handle where not every one can be a name.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// labelValue gives the text as a label's value, or a digest when it can be none.
func labelValue(text string) string {
	if len(validation.IsValidLabelValue(text)) == 0 {
		return text
	}
	return digest(text)
}

// newPodName gives a name for a pod. The next of the same handle has another, since
// the one before may take its time to go.
func newPodName(worker, handle string) string {
	return "midge-" + digest(worker + "/" + handle)[:12] + "-" + strings.ToLower(rand.Text()[:6])
}

// hostname gives the text as far as it can be a host's name.
func hostname(text string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return -1
	}, strings.ToLower(text))
	if len(name) > validation.DNS1123LabelMaxLength {
		name = name[:validation.DNS1123LabelMaxLength]
	}
	return strings.Trim(name, "-")
}
