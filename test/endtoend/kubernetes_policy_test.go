//go:build cluster

package endtoend

import (
	"context"
	"errors"
	"strings"
)

// enforce has the NetworkPolicies of deploy/kubernetes hold until the test ends.
func (d *deployed) enforce() {
	d.t.Helper()
	stop, err := d.node.Enforce(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		said, err := stop()
		if err != nil {
			d.t.Error(err)
		}
		if d.t.Failed() {
			d.t.Logf("what has NetworkPolicies hold says\n%s", said)
		}
	})
}

// checkPolicies checks who reaches whom: nobody a task, and all the server, by its port
// alone. The containers of the first two builds are there.
func (d *deployed) checkPolicies(server string) {
	d.t.Helper()
	d.make(`
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: default}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: "busybox:test", command: [sleep, "100000"]}]
`)
	d.t.Cleanup(func() { d.kubectl("delete", "--namespace", "default", "pod", "stranger", "--wait=false") })
	d.kubectl("wait", "--namespace", "default", "--for", "condition=Ready", "pod/stranger", "--timeout", patience.String())
	task := func(args ...string) result { return d.midge(append([]string{"hijack", "-b", "2", "--"}, args...)...) }
	stranger := func(args ...string) result {
		return d.tryKubectl(append([]string{"exec", "--namespace", "default", "stranger", "--"}, args...)...)
	}
	other := strings.TrimSpace(d.midge("hijack", "-b", "1", "--", "hostname", "-i").stdout)
	addressOf := func(namespace, pod string) string {
		return d.kubectl("get", "--namespace", namespace, "pod", pod, "-o", "jsonpath={.status.podIP}")
	}
	serverAddress, strangerAddress := addressOf("midge", server), addressOf("default", "stranger")

	d.wantUnreached("a task from another namespace", stranger, other)
	d.wantUnreached("a task from another", task, other)
	d.wantUnreached("another port of the server", task, serverAddress)
	task("wget", "-q", "-O", "-", "http://"+serverAddress+":8080/healthz").want(d.t, 0)
	stranger("wget", "-q", "-O", "-", "http://"+serverAddress+":8080/healthz").want(d.t, 0)
	// Where no policy is, who listens on no port says so.
	task("nc", "-w", "10", strangerAddress, "7000").want(d.t, 1, "refused")
}

// wantUnreached waits until a pod is not reached from where it is tried, on a port that
// nobody listens on.
func (d *deployed) wantUnreached(what string, try func(args ...string) result, address string) {
	d.t.Helper()
	eventually(d.t, what+" is not reached", func() error {
		if r := try("nc", "-w", "1", address, "7000"); !strings.Contains(r.stderr, "timed out") {
			return errors.New(r.stdout + r.stderr)
		}
		return nil
	})
}
