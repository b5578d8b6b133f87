// Package kubernetes runs containers in a cluster: each is a pod.
//
// A Worker is a namespace of a cluster, or its own part of one. What it holds is
// there: a container's pod is found by its labels, and says by its annotations what
// it is. Volumes that belong to no container lie in a state directory of this machine,
// and go into pods and come out of them as streams.
//
// Inputs that are stored trees, outputs that become some, and what one pod hands to
// another are moved by their content: a pod gets what its node lacks, and sends what the
// store lacks. What task caches keep lies where pods share it, of which this machine
// knows the names; where they share nothing it lies in the state directory, too.
//
// In a pod midge-agent is the first process (package agent/pod), brought there by an
// init container, or kept by the node since an earlier pod. It is spoken with over the API
// server, by the pod's exec subresource: nothing has to reach anything else. Scheduling, healing and balancing
// are the cluster's; the worker says what that says.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"midge/agent/pod"
	"midge/runtime"
)

// A Worker is a runtime.Worker of a cluster.
type Worker struct {
	options  Options
	identity string // among workers of its name
	started  time.Time
	config   *rest.Config
	client   typedv1.CoreV1Interface
	volumes  *store
	caches   *store
	// cacheNames has the caches whose content pods share.
	cacheNames *cacheNames
	owners     []metav1.OwnerReference // of pods, and of secrets that have no pod yet

	kept      keptPrograms
	overQuota atomic.Int32 // pods that wait for what a quota leaves

	unreachable sync.Once // said that pods do not reach ArtifactsURL

	mu       sync.Mutex
	creating map[string]chan struct{} // closed when a container of that handle is made, or is not
	clients  map[string]*pod.Client   // by pod
	ended    map[string]bool          // pods whose task has ended
	outages  map[string]*outage       // by pod
}

var _ runtime.Worker = (*Worker)(nil)

// New gives the worker of a namespace. The error says what keeps it from being used.
func New(ctx context.Context, options Options) (*Worker, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	config, namespace, err := clusterConfig(options.Kubeconfig)
	if err != nil {
		return nil, err
	}
	if options.Namespace == "" {
		options.Namespace = namespace
	}
	client, err := typedv1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("use the kubeconfig: %w", err)
	}
	w := &Worker{
		options:  options,
		started:  time.Now(),
		config:   config,
		client:   client,
		creating: make(map[string]chan struct{}),
		clients:  make(map[string]*pod.Client),
		ended:    make(map[string]bool),
		outages:  make(map[string]*outage),
	}
	if options.AgentImage == "" {
		if w.options.AgentImage, err = w.ownImage(ctx, namespace); err != nil {
			return nil, err
		}
	}
	if w.volumes, err = openStore(filepath.Join(options.StateDir, "volumes")); err != nil {
		return nil, err
	}
	if w.caches, err = openStore(filepath.Join(options.StateDir, "caches")); err != nil {
		return nil, err
	}
	if w.cacheNames, err = openCacheNames(filepath.Join(options.StateDir, "cache-names")); err != nil {
		return nil, err
	}
	if w.identity, err = openIdentity(options.StateDir); err != nil {
		return nil, err
	}
	if _, err := w.pods(ctx); err != nil {
		if isNetwork(err) {
			err = fmt.Errorf("%w; see that the cluster is up, and that the kubeconfig has its address", err)
		}
		return nil, err
	}
	if w.owners, err = w.findOwner(ctx); err != nil {
		return nil, err
	}
	if err := w.tryOut(ctx); err != nil {
		return nil, err
	}
	w.sayWay(ctx)
	return w, w.sweepSecrets(ctx)
}

// clusterConfig gives how to reach the cluster, and the namespace that goes with it.
func clusterConfig(kubeconfig string) (*rest.Config, string, error) {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	if kubeconfig == "" && os.Getenv("KUBERNETES_SERVICE_HOST") == "" {
		return nil, "", errors.New("the server is in no cluster, and no kubeconfig says how to reach one: name one")
	}
	from := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{})
	config, err := from.ClientConfig()
	if err != nil {
		return nil, "", explainKubeconfig(kubeconfig, err)
	}
	namespace, _, err := from.Namespace()
	if err != nil {
		return nil, "", explainKubeconfig(kubeconfig, err)
	}
	config.QPS, config.Burst = requestsPerSecond, requestsAtOnce
	// What costs the API server least.
	config.ContentType = k8sruntime.ContentTypeProtobuf
	config.AcceptContentTypes = k8sruntime.ContentTypeProtobuf + "," + k8sruntime.ContentTypeJSON
	return config, namespace, nil
}

// explainKubeconfig says why the file, or the pod that this program is in, does not say
// how to reach a cluster.
func explainKubeconfig(file string, err error) error {
	switch {
	case file == "":
		return fmt.Errorf("the server's pod does not say how to reach its cluster: %w; give it a service account, or name a kubeconfig", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no kubeconfig %s: name one that is there", file)
	case clientcmd.IsEmptyConfig(err):
		return fmt.Errorf("the kubeconfig %s has no cluster in it: name one by which kubectl reaches yours", file)
	}
	return fmt.Errorf("the kubeconfig %s does not say how to reach a cluster: %w; name one by which kubectl reaches yours", file, err)
}

// Close lets go of what the worker has open. Pods and what runs in them go on.
func (w *Worker) Close() {
	w.mu.Lock()
	clients := w.clients
	w.clients = make(map[string]*pod.Client)
	w.mu.Unlock()
	for _, client := range clients {
		client.Close()
	}
}

// Name implements runtime.Worker.
func (w *Worker) Name() string { return w.options.Name }

// pods lists the pods of the worker's containers, but those that are being deleted.
func (w *Worker) pods(ctx context.Context) ([]corev1.Pod, error) { return w.podsWith(ctx, nil) }

func (w *Worker) podsWith(ctx context.Context, more labels.Set) ([]corev1.Pod, error) {
	selector := labels.Merge(w.own(), more)
	var list *corev1.PodList
	err := w.request(ctx, func(ctx context.Context) (err error) {
		list, err = w.client.Pods(w.options.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the pods of namespace %s: %w", w.options.Namespace, explainRequest(err))
	}
	var pods []corev1.Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			pods = append(pods, p)
		}
	}
	return pods, nil
}

// findPod gives the pod of a container, or a *runtime.NotFoundError.
func (w *Worker) findPod(ctx context.Context, handle string) (*corev1.Pod, error) {
	notFound := &runtime.NotFoundError{Kind: "container", Name: handle}
	if !validHandle(handle) {
		return nil, notFound
	}
	pods, err := w.podsWith(ctx, labels.Set{labelContainer: digest(handle)})
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, notFound
	}
	return &pods[0], nil
}

// LookupContainer implements runtime.Worker.
func (w *Worker) LookupContainer(ctx context.Context, handle string) (runtime.Container, error) {
	found, err := w.findPod(ctx, handle)
	if err != nil {
		return nil, err
	}
	return w.container(found)
}

// Containers implements runtime.Worker. Those that are being made are among them.
func (w *Worker) Containers(ctx context.Context) ([]string, error) {
	pods, err := w.pods(ctx)
	if err != nil {
		return nil, fmt.Errorf("the pods with the labels %s are not known: %w", w.own(), err)
	}
	handles := make([]string, 0, len(pods))
	for _, p := range pods {
		handles = append(handles, p.Annotations[annotationContainer])
	}
	return handles, nil
}

// Info implements runtime.Worker.
func (w *Worker) Info(ctx context.Context) (runtime.WorkerInfo, error) {
	pods, err := w.pods(ctx)
	if err != nil {
		return runtime.WorkerInfo{}, err
	}
	volumes, err := w.volumesOf(pods)
	if err != nil {
		return runtime.WorkerInfo{}, err
	}
	pending, waits := pendingPods(pods)
	return runtime.WorkerInfo{
		Runtime:        "kubernetes",
		Platform:       "linux",
		Tags:           w.options.Tags,
		OptionalTags:   w.optionalTags(),
		Team:           w.options.Team,
		State:          "running",
		StartTime:      w.started,
		Containers:     len(pods),
		Volumes:        len(volumes),
		ActiveTasks:    w.activeTasks(ctx, pods),
		MaxActiveTasks: w.options.MaxActiveTasks,
		Pending:        pending,
		Waits:          waits,
		Remote:         true,
	}, nil
}

// pendingPods counts the pods that have not started, and says why, each reason once.
func pendingPods(pods []corev1.Pod) (pending int, waits []string) {
	for _, p := range pods {
		if p.Status.Phase != corev1.PodPending {
			continue
		}
		pending++
		if _, reason, err := observe(&p); err == nil && reason != "" && !slices.Contains(waits, reason) {
			waits = append(waits, reason)
		}
	}
	slices.Sort(waits)
	return pending, waits
}

// activeTasks counts the pods whose task runs.
func (w *Worker) activeTasks(ctx context.Context, pods []corev1.Pod) int {
	ctx, cancel := context.WithTimeout(ctx, w.options.RequestTimeout)
	defer cancel()
	var all sync.WaitGroup
	active := make(chan struct{}, len(pods))
	for _, p := range pods {
		w.mu.Lock()
		done := w.ended[p.Name]
		w.mu.Unlock()
		if done || p.Status.Phase != corev1.PodRunning {
			continue
		}
		all.Go(func() {
			// A pod that cannot be asked is not known to run anything.
			client := w.podClient(p.Annotations[annotationContainer], p.Name, programOf(&p))
			if _, err := client.Process(ctx, runtime.TaskProcessID); err != nil {
				return
			}
			ended, err := client.Ended(ctx, runtime.TaskProcessID)
			switch {
			case err != nil:
			case ended:
				w.mu.Lock()
				defer w.mu.Unlock()
				w.ended[p.Name] = true
			default:
				active <- struct{}{}
			}
		})
	}
	all.Wait()
	return len(active)
}

// podClient gives the client for a pod of that name, where midge-agent has that path.
func (w *Worker) podClient(handle, name, program string) *pod.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	client := w.clients[name]
	if client == nil {
		client = pod.NewClient(w.dialer(handle, name, program))
		w.clients[name] = client
	}
	return client
}

// forget lets go of what is known of a pod that is gone.
func (w *Worker) forget(name string) {
	w.mu.Lock()
	client := w.clients[name]
	delete(w.clients, name)
	delete(w.ended, name)
	delete(w.outages, name)
	w.mu.Unlock()
	if client != nil {
		client.Close()
	}
}
