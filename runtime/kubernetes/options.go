package kubernetes

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"midge/runtime"
)

// Options are a Worker's settings.
type Options struct {
	// Name is the worker's, unique in its pool, and among those that share a namespace.
	Name string
	// StateDir is where volumes and caches are kept. It is made when it is not there,
	// and is for one Worker at a time.
	StateDir string
	// Kubeconfig is the file that says how to reach the cluster; "" is the cluster
	// that this program runs in.
	Kubeconfig string
	// Namespace is where pods are made; "" is the one that the kubeconfig, or this
	// program's own pod, is in.
	Namespace string
	// AgentImage is the image of the init container, which has the program /midge-agent;
	// "" is that of this program's own pod, in a cluster that this program runs in.
	AgentImage string
	// DefaultImage is what runs a container whose image is this machine's; "" refuses those.
	DefaultImage string
	// PodTemplate is a pod, as YAML or JSON, that is merged over each that is made.
	PodTemplate []byte
	// TagTemplates are merged over PodTemplate, each for the containers of tasks that
	// ask for a tag. Those tags are optional, unless they are among Tags as well.
	TagTemplates map[string][]byte
	// Security is what the Pod Security Standards call what pods may do; "" is SecurityRestricted.
	Security Security
	// StartTimeout is how long a pod may take to start; 0 is DefaultStartTimeout.
	StartTimeout time.Duration
	// Deadline is how long a pod may live, whatever becomes of the server; 0 is DefaultDeadline.
	Deadline time.Duration
	// RequestTimeout is how long the API server may take for an answer; 0 is DefaultRequestTimeout.
	RequestTimeout time.Duration
	// Owner is a PersistentVolumeClaim of the namespace, with which pods and their secrets
	// go: that which has the server's data, without which nobody knows of them. "" is none.
	Owner string
	// Cache is what keeps contents from one pod to the next; "" is CacheNone.
	Cache Cache
	// ArtifactsURL is where pods reach Gate, without a slash at the end. Those that do
	// not reach it, and all when it is "", are sent the same through the API server.
	ArtifactsURL string
	// Gate lets pods in by ArtifactsURL. Whoever serves it may have several workers use one.
	Gate *Gate
	// Log is told what an operator is to know; nil is slog.Default.
	Log *slog.Logger
	// Limits are those of containers that ask for none. Pids are the kubelets' to limit.
	Limits runtime.Limits

	Tags           []string
	Team           string
	MaxActiveTasks int
}

// Security is a profile of the Pod Security Standards. Containers that are privileged
// have none.
type Security string

const (
	// SecurityRestricted has processes run as one user who is not root.
	SecurityRestricted Security = "restricted"
	// SecurityBaseline has them run as the image's user, or as any when that is root.
	SecurityBaseline Security = "baseline"
)

const (
	DefaultStartTimeout = 10 * time.Minute
	DefaultDeadline     = 24 * time.Hour
)

// complete gives options that are not set their defaults. The error says which are wrong.
func (o *Options) complete() error {
	o.StartTimeout = cmp.Or(o.StartTimeout, DefaultStartTimeout)
	o.Deadline = cmp.Or(o.Deadline, DefaultDeadline)
	o.RequestTimeout = cmp.Or(o.RequestTimeout, DefaultRequestTimeout)
	o.Security = cmp.Or(o.Security, SecurityRestricted)
	o.Cache = cmp.Or(o.Cache, CacheNone)
	o.Log = cmp.Or(o.Log, slog.Default())
	switch {
	case o.Security != SecurityRestricted && o.Security != SecurityBaseline:
		return fmt.Errorf("%q is no pod security: it is %s or %s", o.Security, SecurityRestricted, SecurityBaseline)
	case o.AgentImage == "" && o.Kubeconfig != "":
		return errors.New("no image with midge-agent is named, which every pod begins with: name one by agent-image, as deploy/kubernetes/Dockerfile makes it")
	case o.ArtifactsURL != "" && o.Gate == nil:
		return errors.New("there is a URL for artifacts, and nothing that serves them there")
	case o.Deadline < time.Second:
		return fmt.Errorf("a pod cannot live for %s: the least is a second", o.Deadline)
	}
	if err := cmp.Or(checkImage("agent-image", o.AgentImage), checkImage("default-image", o.DefaultImage)); err != nil {
		return err
	}
	if err := o.Cache.check(); err != nil {
		return err
	}
	return o.checkTemplates()
}

// checkImage says what is wrong with an image that is set, nil when nothing is or none is set.
func checkImage(setting, image string) error {
	if image == "" {
		return nil
	}
	if _, err := name.ParseReference(image); err != nil {
		return fmt.Errorf("%s is %q, which is no image: write it as registry.example.com/midge:1", setting, image)
	}
	return nil
}
