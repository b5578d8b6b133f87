package kubernetes

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"midge/agent"
)

// Labels and annotations of what a worker makes. A label's value is bounded in length
// and in letters, so the labels have digests where the annotations have the handles.
const (
	labelWorker         = "midge/worker"
	labelContainer      = "midge/container"
	annotationContainer = "midge/handle"
	annotationVolumes   = "midge/volumes"
)

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
