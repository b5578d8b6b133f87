package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"midge/runtime"
	"midge/runtime/kubernetes"
	"midge/server"
)

// runtimeKubernetes is the runtime of workers that are a cluster.
const runtimeKubernetes = "kubernetes"

// kubernetesSettings is what can be set of a worker that is a cluster.
type kubernetesSettings struct {
	kubernetes.Options
	podTemplate  string   // a file
	tagTemplates []string // TAG=FILE
	artifactsURL string   // of the server, as pods reach it
}

// addKubernetes adds the settings of workers that are clusters, with what is set as
// their defaults.
func addKubernetes(flags *pflag.FlagSet, s *kubernetesSettings) {
	flags.StringVar(&s.Kubeconfig, "kubeconfig", s.Kubeconfig, "`file` that says how to reach the cluster (default that which the server is in)")
	flags.StringVar(&s.Namespace, "namespace", s.Namespace, "`namespace` of the pods (default the kubeconfig's, or the server's own)")
	flags.StringVar(&s.AgentImage, "agent-image", s.AgentImage, "`image` with midge-agent, which every pod begins with (default that of the server's own pod)")
	flags.StringVar(&s.DefaultImage, "default-image", s.DefaultImage, "`image` of tasks that name none, or a rootfs_uri (default they are refused)")
	flags.StringVar(&s.podTemplate, "pod-template", s.podTemplate, "`file` with a pod, in YAML, that is merged over each that is made")
	flags.StringArrayVar(&s.tagTemplates, "tag-template", s.tagTemplates, "`tag=file` with a pod, in YAML, that is merged over that of each task that asks for the tag; may be repeated")
	flags.Var(newChoice((*string)(&s.Security), string(kubernetes.SecurityRestricted), string(kubernetes.SecurityBaseline)), "pod-security", "Pod Security Standard that pods meet: restricted has tasks run as one user who is not root, baseline as the image's")
	flags.StringVar((*string)(&s.Cache), "cache", string(s.Cache), "what keeps contents and task caches from one pod to the next: none, node, a directory of each node, or the `name` of a PersistentVolumeClaim")
	flags.StringVar(&s.artifactsURL, "pod-artifacts-url", s.artifactsURL, "`URL` of the server as pods reach it, to exchange artifacts with them (default they go through the API server)")
	flags.StringVar(&s.Owner, "pod-owner", s.Owner, "`name` of the PersistentVolumeClaim with the server's data, with which pods go when it is deleted (default they go with nothing)")
	flags.Var(newDuration(&s.StartTimeout, s.StartTimeout), "pod-start-timeout", "how long a pod may take to start")
	flags.Var(newDuration(&s.Deadline, s.Deadline), "pod-deadline", "how long a pod may live, whatever becomes of the server")
}

// openCluster opens a worker that is a cluster.
func (w *workerSettings) openCluster(ctx context.Context, gate *kubernetes.Gate, log *slog.Logger) (runtime.Worker, func(), error) {
	options := w.kubernetes.Options
	options.Name, options.Tags, options.Team, options.MaxActiveTasks = w.name, w.tags, w.team, w.maxActiveTasks
	options.Gate, options.Log = gate, log
	if text := w.kubernetes.artifactsURL; text != "" {
		parsed, err := url.Parse(text)
		if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
			return nil, nil, fmt.Errorf("pod-artifacts-url is %q: it should be http://HOST or https://HOST", text)
		}
		options.ArtifactsURL = strings.TrimSuffix(text, "/") + server.PodArtifactsPath
	}
	if file := w.kubernetes.podTemplate; file != "" {
		template, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, fmt.Errorf("read the pod template: %w", err)
		}
		options.PodTemplate = template
	}
	var err error
	if options.TagTemplates, err = readTagTemplates(w.kubernetes.tagTemplates); err != nil {
		return nil, nil, err
	}
	worker, err := kubernetes.New(ctx, options)
	if err != nil {
		return nil, nil, err
	}
	return worker, worker.Close, nil
}

// readTagTemplates reads the files that are named as TAG=FILE.
func readTagTemplates(named []string) (map[string][]byte, error) {
	templates := make(map[string][]byte)
	for _, one := range named {
		tag, file, ok := strings.Cut(one, "=")
		if !ok || tag == "" || file == "" {
			return nil, fmt.Errorf("tag-template is %q: it should be TAG=FILE", one)
		}
		if templates[tag] != nil {
			return nil, fmt.Errorf("there are two tag-templates of the tag %s", tag)
		}
		template, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the pod template of the tag %s: %w", tag, err)
		}
		templates[tag] = template
	}
	return templates, nil
}
