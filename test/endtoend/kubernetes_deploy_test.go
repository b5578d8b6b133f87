//go:build cluster

package endtoend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"midge/test/cluster"
	"midge/test/source"
)

var deployment = filepath.Join(source.Dir(), "deploy/kubernetes")

// A deployed is the server of deploy/kubernetes, in the namespace midge of a cluster.
type deployed struct {
	t    *testing.T
	node *cluster.Cluster
	dir  string // HOME of who uses the server, and the working directory
}

// kubectl runs kubectl in the server's namespace, and gives what it prints.
func (d *deployed) kubectl(args ...string) string {
	d.t.Helper()
	r := d.tryKubectl(args...)
	if r.status != 0 {
		d.t.Fatalf("kubectl %s: %s%s", strings.Join(args, " "), r.stdout, r.stderr)
	}
	return r.stdout
}

func (d *deployed) tryKubectl(args ...string) result {
	d.t.Helper()
	command := d.node.Kubectl(context.Background(), append([]string{"--namespace", "midge"}, args...)...)
	command.Env = append(os.Environ(), "HOME="+d.dir)
	return runCommand(d.t, command)
}

// make makes an object of its YAML.
func (d *deployed) make(object string) {
	d.t.Helper()
	command := d.node.Kubectl(d.t.Context(), "create", "-f", "-")
	command.Env = append(os.Environ(), "HOME="+d.dir)
	command.Stdin = strings.NewReader(object)
	if r := runCommand(d.t, command); r.status != 0 {
		d.t.Fatalf("%s\n%s", object, r.stderr)
	}
}

// midge runs a command of the CLI as who has logged in to the server.
func (d *deployed) midge(args ...string) result {
	d.t.Helper()
	command := exec.Command(filepath.Join(binaries, "midge"), args...)
	command.Dir = d.dir
	command.Env = append(os.Environ(), "HOME="+d.dir, "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "MIDGE_TARGET=cluster")
	return runCommand(d.t, command)
}

// script writes a task of a shell script, with what else its file has.
func (d *deployed) script(name, script, rest string) string {
	d.t.Helper()
	file := name + ".yml"
	text := fmt.Sprintf("platform: linux\nimage_resource: {type: registry-image, source: {repository: busybox, tag: test}}\nrun: {path: sh, args: [-ec, %q]}\n%s", script, rest)
	d.write(file, text)
	return file
}

func (d *deployed) write(file, text string) {
	d.t.Helper()
	path := filepath.Join(d.dir, file)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		d.t.Fatal(err)
	}
}

// run runs a command until the test ends.
func (d *deployed) run(command *exec.Cmd) (stop func()) {
	d.t.Helper()
	said := new(output)
	command.Stdout, command.Stderr = said, said
	if err := command.Start(); err != nil {
		d.t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		command.Process.Kill()
		command.Wait()
		if d.t.Failed() {
			d.t.Logf("%s:\n%s", command, said)
		}
	}
	d.t.Cleanup(stop)
	return stop
}

// buildImage builds the image of deploy/kubernetes, of the programs that the tests have,
// and gives it to the cluster by some names.
func (d *deployed) buildImage(names ...string) {
	d.t.Helper()
	from := d.t.TempDir()
	if err := os.Mkdir(filepath.Join(from, "bin"), 0o755); err != nil {
		d.t.Fatal(err)
	}
	for _, name := range []string{"midge", "midge-agent", "midge-server"} {
		if err := os.Link(filepath.Join(binaries, name), filepath.Join(from, "bin", name)); err != nil {
			d.t.Fatal(err)
		}
	}
	storage := d.t.TempDir()
	buildah := func(args ...string) {
		d.t.Helper()
		all := append([]string{"--storage-driver", "vfs", "--root", filepath.Join(storage, "root"), "--runroot", filepath.Join(storage, "run")}, args...)
		if out, err := exec.CommandContext(d.t.Context(), "buildah", all...).CombinedOutput(); err != nil {
			d.t.Fatalf("buildah %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	buildah("build", "--isolation", "chroot", "--tag", "midge", "--file", filepath.Join(deployment, "Dockerfile"), from)
	for i, name := range names {
		archive := filepath.Join(storage, strconv.Itoa(i))
		buildah("push", "midge", "docker-archive:"+archive+":"+name)
		if err := d.node.AddImage(d.t.Context(), archive); err != nil {
			d.t.Fatal(err)
		}
	}
}

// awaitServer waits until the one pod of the server that is to be there is ready, has
// its service lead to it, and gives its name.
func (d *deployed) awaitServer() (name string, stop func()) {
	d.t.Helper()
	d.kubectl("rollout", "status", "deployment/midge-server", "--timeout", patience.String())
	pod := strings.Fields(d.kubectl("get", "pods", "-l", "app.kubernetes.io/name=midge-server", "-o", "jsonpath={.items[*].metadata.name} {.items[*].status.podIP}"))
	if len(pod) != 2 {
		d.t.Fatalf("the pods of the server are %q", pod)
	}
	stop = d.run(d.node.Forward(context.Background(), d.service(), pod[1]+":8080"))
	eventually(d.t, "the service answers", func() error {
		connection, err := net.Dial("tcp", d.service())
		if err != nil {
			return err
		}
		return connection.Close()
	})
	return pod[0], stop
}

// service is the address of the server's service.
func (d *deployed) service() string {
	d.t.Helper()
	return d.kubectl("get", "service", "midge", "-o", "jsonpath={.spec.clusterIP}:{.spec.ports[0].port}")
}

// volume makes a volume of the machine, with which the claim of the server's data is met.
func (d *deployed) volume() {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), "volume")
	if err := os.Mkdir(path, 0o755); err != nil {
		d.t.Fatal(err)
	}
	d.make(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: midge-data}
spec:
  capacity: {storage: 50Gi}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  local: {path: %s}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: Exists}]}]}}
`, path))
}

// remove removes what there is of the deployment, and waits until it is gone.
func (d *deployed) remove() {
	d.t.Helper()
	d.kubectl("delete", "-k", deployment, "--ignore-not-found", "--timeout", patience.String())
	d.kubectl("delete", "persistentvolume", "midge-data", "--ignore-not-found", "--timeout", patience.String())
}

// What deploy/kubernetes has is a server in the cluster, which is installed, used and
// upgraded as docs/kubernetes.md says.
func TestKubernetesDeployment(t *testing.T) {
	node := startCluster(t)
	d := &deployed{t: t, node: node, dir: t.TempDir()}
	d.buildImage("docker.io/library/midge:latest", "registry.example.com/midge:2")
	d.run(node.Controllers(context.Background()))
	d.volume()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", d.tryKubectl("get", "all,events").stdout)
			t.Logf("%s", d.tryKubectl("logs", "deployment/midge-server").stdout)
		}
		d.remove()
	})

	d.enforce()
	d.install()
	first, stop := d.awaitServer()
	d.midge("login", "-t", "cluster", "-c", "http://"+d.service(), "-u", "ann", "-p", "secret").want(t, 0)
	d.midge("workers").want(t, 0, "cluster", "running")
	d.kubectl("exec", "deployment/midge-server", "--", "midge", "workers")
	d.exchange("one")
	d.midge("execute", "-c", d.script("failing", "id -u > file; exit 3", "")).want(t, 3)
	d.midge("hijack", "--", "cat", "file").want(t, 0, "1000\n")
	d.checkPolicies(first)
	// There are no names here.
	if log := d.kubectl("logs", first); !strings.Contains(log, unreachable) {
		t.Errorf("the server says\n%s", log)
	}
	d.checkUpgrade(first, stop)

	// What was made goes with the server's data, the containers of failed tasks too.
	d.kubectl("delete", "deployment/midge-server", "persistentvolumeclaim/midge-data", "--timeout", patience.String())
	d.kubectl("wait", "--for=delete", "pods", "--all", "--timeout", patience.String())
}

// unreachable is what a server says whose URL for artifacts pods do not reach.
const unreachable = "a pod does not reach the server by the URL for artifacts"

// install does what docs/kubernetes.md says.
func (d *deployed) install() {
	d.t.Helper()
	d.kubectl("apply", "-f", filepath.Join(deployment, "namespace.yaml"))
	d.kubectl("create", "serviceaccount", "default") // which no controller makes here
	d.kubectl("create", "secret", "generic", "midge-users", "--from-literal=users=ann:secret")
	d.kubectl("apply", "-k", deployment)
}

// checkUpgrade upgrades the server while a task writes. The service leads to the first
// pod until leave is called.
func (d *deployed) checkUpgrade(first string, leave func()) {
	d.t.Helper()
	d.midge("execute", "--background", "-c", d.script("long", "n=0; while [ ! -e open ]; do echo $n; n=$((n+1)); sleep 0.01; done; echo end; exit 5", "")).want(d.t, 0)
	eventually(d.t, "the task runs", func() error {
		if r := d.midge("hijack", "-b", "3", "--", "true"); r.status != 0 {
			return errors.New(r.stderr)
		}
		return nil
	})
	if backup := d.kubectl("exec", "deployment/midge-server", "--", "/midge-server", "backup", "-"); !strings.Contains(backup, "midge.db") {
		d.t.Errorf("the backup has %d bytes, and not the database", len(backup))
	}
	leave()
	d.upgrade("registry.example.com/midge", "2", "http://"+d.service())
	second, _ := d.awaitServer()
	if first == second {
		d.t.Errorf("the pod %s is the server as before", first)
	}
	d.midge("hijack", "-b", "3", "--", "touch", "open").want(d.t, 0)
	d.wantWhole(3, 5)
	d.exchange("two")
	if log := d.kubectl("logs", second); strings.Contains(log, unreachable) {
		d.t.Errorf("the server says\n%s", log)
	}
	if images := d.kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.initContainers[*].image}"); !strings.Contains(images, "midge:latest") || !strings.Contains(images, "registry.example.com/midge:2") {
		d.t.Errorf("the images that brought midge-agent are %s", images)
	}
}

// exchange executes a task that is given a text, and gives it back.
func (d *deployed) exchange(text string) {
	d.t.Helper()
	d.write("src/given", text)
	task := d.script("task", "cp src/given out/", "inputs: [{name: src}]\noutputs: [{name: out}]\n")
	d.midge("execute", "-c", task, "-i", "src=src", "-o", "out="+text).want(d.t, 0)
	if given, err := os.ReadFile(filepath.Join(d.dir, text, "given")); string(given) != text {
		d.t.Errorf("the output is %q, %v", given, err)
	}
}

// upgrade has the server be of another image, and told another URL for artifacts.
func (d *deployed) upgrade(image, tag, url string) {
	d.t.Helper()
	overlay := filepath.Join(d.dir, "overlay")
	from, err := filepath.Rel(overlay, deployment)
	if err != nil {
		d.t.Fatal(err)
	}
	settings, err := os.ReadFile(filepath.Join(deployment, "midge.yaml"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.write("overlay/midge.yaml", strings.Replace(string(settings), "http://midge:8080", url, 1))
	d.write("overlay/kustomization.yaml", fmt.Sprintf(`
namespace: midge
resources: [%s]
images: [{name: midge, newName: %s, newTag: "%s"}]
configMapGenerator: [{name: midge-config, behavior: replace, files: [midge.yaml]}]
`, from, image, tag))
	d.kubectl("apply", "-k", overlay)
}

// wantWhole checks the log and the status of a build whose task counts up to its end.
func (d *deployed) wantWhole(build, status int) {
	d.t.Helper()
	r := d.midge("watch", "-b", strconv.Itoa(build))
	if r.status != status {
		d.t.Errorf("watch: %d, want %d: %s", r.status, status, r.stderr)
	}
	lines := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
	for len(lines) > 0 && lines[0] != "0" {
		lines = lines[1:]
	}
	for i, line := range lines {
		if want := strconv.Itoa(i); line != want && (line != "end" || i != len(lines)-1) {
			d.t.Fatalf("the log has %q where %q should be", line, want)
		}
	}
	if len(lines) < 2 || lines[len(lines)-1] != "end" {
		d.t.Errorf("the log is %q", r.stdout)
	}
}
