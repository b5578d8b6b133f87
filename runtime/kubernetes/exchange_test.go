//go:build cluster

package kubernetes_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"midge/artifacts/store"
	"midge/runtime"
	"midge/runtime/kubernetes"
)

// newStore gives a store with a tree.
func newStore(t *testing.T, files map[string]string) (*store.Store, *store.Tree) {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, stored(t, s, files)
}

// A directory is an artifact of this machine.
type directory struct {
	runtime.Artifact
	path string
}

func (d directory) Handle() string { return "directory" }
func (d directory) LocalPath(context.Context) (string, func(), error) {
	return d.path, func() {}, nil
}

func stored(t *testing.T, s *store.Store, files map[string]string) *store.Tree {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	digest, _, _, err := s.Ingest(t.Context(), "main", directory{path: dir})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := s.Tree(t.Context(), "main", digest)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// A counted tree counts what is fetched of it.
type counted struct {
	kubernetes.Stored
	fetched *atomic.Int64 // requests
}

func (c counted) Objects() http.Handler {
	objects := c.Stored.Objects()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.fetched.Add(1)
		objects.ServeHTTP(w, r)
	})
}

// onNode has the worker's pods share a directory of the node that goes with the test.
func onNode(t *testing.T, options *kubernetes.Options) { onDirectory(options, t.TempDir()) }

func onDirectory(options *kubernetes.Options, dir string) {
	options.Cache = kubernetes.CacheNode
	options.PodTemplate = fmt.Appendf(nil, "spec: {volumes: [{name: midge-cache, hostPath: {path: %s}}]}", dir)
}

// onClaim has the worker's pods share a volume that is claimed.
func onClaim(t *testing.T, options *kubernetes.Options) {
	t.Helper()
	client := admin(t)
	// Nobody binds volumes to claims here.
	const claim = "midge-inputs"
	mode, size := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}, corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	bound := map[string]string{"pv.kubernetes.io/bind-completed": "yes"}
	made, err := client.PersistentVolumeClaims(options.Namespace).Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: claim, Annotations: bound},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes:      mode,
			Resources:        corev1.VolumeResourceRequirements{Requests: size},
			StorageClassName: new(""),
			VolumeName:       options.Namespace,
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	volume, err := client.PersistentVolumes().Create(t.Context(), &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.Namespace},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: mode,
			Capacity:    size,
			ClaimRef:    &corev1.ObjectReference{Namespace: options.Namespace, Name: claim, UID: made.UID},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: t.TempDir()},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpExists}},
			}}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	volume.Status.Phase = corev1.VolumeBound
	if _, err := client.PersistentVolumes().UpdateStatus(t.Context(), volume, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	made.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, AccessModes: mode, Capacity: size}
	if _, err := client.PersistentVolumeClaims(options.Namespace).UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	options.Cache = claim
}

// withEachCache has a test run with each way in which pods may share a cache.
func withEachCache(t *testing.T, test func(*testing.T, kubernetes.Options)) {
	for _, way := range []struct {
		name     string
		security kubernetes.Security
		enforced string
		cache    func(*testing.T, *kubernetes.Options)
	}{
		{"baseline", kubernetes.SecurityBaseline, "privileged", onNode},
		{"restricted", kubernetes.SecurityRestricted, "privileged", onNode},
		{"claim", kubernetes.SecurityRestricted, "restricted", onClaim},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			options := newOptions(t)
			options.Security = way.security
			options.Namespace = newNamespace(t, map[string]string{"pod-security.kubernetes.io/enforce": way.enforced})
			way.cache(t, &options)
			test(t, options)
		})
	}
}

// What a node has is not sent again, whoever had it first; outputs come back by content.
func TestNodeCache(t *testing.T) {
	t.Parallel()
	withEachCache(t, func(t *testing.T, options kubernetes.Options) {
		worker := newWorker(t, options)
		s, tree := newStore(t, map[string]string{"a": "text\n", "b/c": strings.Repeat("0123456789", 1<<19)})
		fetched := new(atomic.Int64)
		run := func(handle string) {
			spec := newSpec(handle)
			spec.Inputs = []runtime.Input{{Artifact: counted{tree, fetched}, Path: "in"}}
			spec.Outputs = []runtime.Output{{Path: "out"}}
			container := newContainer(t, worker, spec)
			if got := output(t, begin(t, container, "task", "cat in/a; wc -c <in/b/c; echo own >in/a && cp -r in/. out/; ls /midge-cache 2>&1")); !strings.HasPrefix(got, "text\n5242880\n") ||
				!strings.Contains(got, "No such file") {
				t.Errorf("the output is %q", got)
			}
			volume, err := container.Volume(t.Context(), "out")
			if err != nil {
				t.Error(err)
				return
			}
			digest, files, size, err := s.Ingest(t.Context(), "main", volume)
			want := stored(t, s, map[string]string{"a": "own\n", "b/c": strings.Repeat("0123456789", 1<<19)})
			if err != nil || digest != want.Handle() || files != 2 || size != 4+10<<19 {
				t.Errorf("the output is the tree %s of %d files of %d bytes, %v", digest, files, size, err)
			}
		}
		run("first")
		if fetched.Load() == 0 {
			t.Error("nothing was fetched")
		}
		fetched.Store(0)
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() { run(fmt.Sprintf("again-%d", i)) })
		}
		all.Wait()
		if n := fetched.Load(); n != 0 {
			t.Errorf("what the node has took %d requests", n)
		}
	})
}

// bridgeAddress is where pods reach this machine.
const bridgeAddress = "10.89.0.1"

// Pods that reach the server by its URL exchange with it there, and others by the API
// server, which is said.
func TestWaysOfArtifacts(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	gate := kubernetes.NewGate()
	passed := new(atomic.Int64)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			passed.Add(1)
		}
		gate.ServeHTTP(w, r)
	})}}
	server.Start()
	defer server.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, tree := newStore(t, map[string]string{"file": "text\n"})
	for name, address := range map[string]string{"reached": net.JoinHostPort(bridgeAddress, port), "unreachable": "127.0.0.1:1"} {
		var said bytes.Buffer
		options := newOptions(t)
		options.Gate, options.ArtifactsURL = gate, "http://"+address
		options.Log = slog.New(slog.NewTextHandler(&said, nil))
		worker := newWorker(t, options)
		passed.Store(0)
		spec := newSpec(name)
		spec.Inputs = []runtime.Input{{Artifact: tree, Path: "in"}}
		container := newContainer(t, worker, spec)
		if got := output(t, begin(t, container, "task", "cat in/file")); got != "text\n" {
			t.Errorf("%s: the output is %q", name, got)
		}
		if got, want := passed.Load() > 0, name == "reached"; got != want {
			t.Errorf("%s: %d requests came by the URL", name, passed.Load())
		}
		if got, want := strings.Contains(said.String(), "does not reach the server"), name == "unreachable"; got != want || !strings.Contains(said.String(), "way=http://"+address) {
			t.Errorf("%s: the log is\n%s", name, said.String())
		}
	}
	for _, path := range []string{"", "/", "/x", "/x/0/fetch"} {
		response, err := http.Post(server.URL+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("%q without a token is answered %s", path, response.Status)
		}
	}
}
