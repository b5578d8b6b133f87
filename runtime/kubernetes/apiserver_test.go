//go:build cluster

package kubernetes_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"midge/runtime"
	"midge/runtime/kubernetes"
)

// asking are all requests that a worker makes for a container's sake.
var asking = []string{
	"list pods", "create pods", "watch pods", "get pods", "delete pods", "get pods/exec", "create pods/exec",
	"create secrets", "patch secrets", "delete secrets",
}

// What an API server cannot do now is done when it can, whatever it is.
func TestApiServerThatIsBusy(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	f := newFront(t, "")
	options.Kubeconfig = f.kubeconfig
	worker := newWorker(t, options)
	for _, asked := range asking {
		f.answer(asked, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable)
	}
	runInSpite(t, worker, "the cluster takes no pod yet")
	if left := f.unanswered(); len(left) > 0 {
		t.Errorf("it did not ask for %q", left)
	}
}

// One that hangs is asked again.
func TestApiServerThatHangs(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	f := newFront(t, "")
	options.Kubeconfig, options.RequestTimeout = f.kubeconfig, 2*time.Second
	worker := newWorker(t, options)
	for _, asked := range []string{"create pods", "watch pods", "get pods/exec"} {
		f.answer(asked, noAnswer)
	}
	runInSpite(t, worker, "the cluster takes no pod yet: the API server has not answered within 2s")
	f.answer("list pods", noAnswer)
	if _, err := worker.Info(t.Context()); err == nil || !strings.Contains(err.Error(), "the API server has not answered within 2s") {
		t.Errorf("Info gave %v", err)
	}
}

// runInSpite has a container made, run and go, and requires that its user is told that.
func runInSpite(t *testing.T, worker *kubernetes.Worker, told string) {
	t.Helper()
	var said []string
	spec := newSpec("busy")
	spec.Progress = func(line string) { said = append(said, line) }
	spec.Image = withCredentials("busybox", "test")
	container, err := worker.FindOrCreateContainer(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, begin(t, container, "task", "echo text")); got != "text\n" {
		t.Errorf("the output is %q", got)
	}
	if err := container.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
	if !slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, told) }) {
		t.Errorf("it said %q", said)
	}
}

// Who waits for a task is told when its cluster is away for some time, and when it is back.
func TestApiServerThatIsAway(t *testing.T) {
	t.Parallel()
	options := newOptions(t)
	f := newFront(t, "")
	options.Kubeconfig = f.kubeconfig
	container := newContainer(t, newWorker(t, options), newSpec("away"))
	process := begin(t, container, "task", "echo begun; read line; echo $line")
	got := make(chan string, 1)
	go func() { got <- output(t, process) }()
	await(t, process, "begun")
	ctx, cancel := context.WithCancel(t.Context())
	said, ended := make(chan string), make(chan struct{})
	go func() {
		defer close(ended)
		container.(runtime.Distant).TellOutages(ctx, func(line string) { said <- line })
	}()
	f.beAway(true)
	if line := <-said; !strings.Contains(line, "is not reached since") || !strings.Contains(line, "the task goes on") {
		t.Errorf("it said %q", line)
	}
	f.beAway(false)
	if line := <-said; !strings.Contains(line, "is reached again, after") {
		t.Errorf("it said %q", line)
	}
	cancel()
	<-ended
	if _, err := process.Write(t.Context(), 0, []byte("text\n")); err != nil {
		t.Fatal(err)
	}
	if all := <-got; all != "begun\ntext\n" {
		t.Errorf("the output is %q", all)
	}
}

// Nothing is lost and nothing comes twice when what lies between the server and the
// pod goes and comes back.
func TestOutputOutlivesTheCluster(t *testing.T) {
	options := newOptions(t)
	worker := newWorker(t, options)
	container := newContainer(t, worker, newSpec("outlives"))
	process := begin(t, container, "task", `i=0; while read -r line; do i=$((i+1)); echo "$i $line"; done; exit 4`)
	got := make(chan string)
	go func() { got <- output(t, process) }()
	written, want := int64(0), ""
	write := func(line string) {
		n, err := process.Write(t.Context(), written, []byte(line+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		written = n
	}
	write("before")
	await(t, process, "1 before")
	for i, name := range []string{"kube-apiserver", "kubelet", "containerd"} {
		if err := node.Restart(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		write("after " + name)
		await(t, process, string(rune('2'+i))+" after "+name)
	}
	if err := node.Signal("kube-apiserver", syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	hanging := time.AfterFunc(time.Second, func() {
		if err := node.Signal("kube-apiserver", syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	})
	defer hanging.Stop()
	write("after a pause")
	if err := process.CloseStdin(t.Context()); err != nil {
		t.Fatal(err)
	}
	status, err := process.Wait(t.Context())
	if err != nil || status.Code != 4 {
		t.Errorf("it ended with %+v, %v", status, err)
	}
	want = "1 before\n2 after kube-apiserver\n3 after kubelet\n4 after containerd\n5 after a pause\n"
	if all := <-got; all != want {
		t.Errorf("the output is %q, want %q", all, want)
	}
}
