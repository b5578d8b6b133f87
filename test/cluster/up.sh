#!/bin/bash
# up.sh RUN: starts a Kubernetes of one node, whose state is in the directory RUN, and
# returns when the node is ready. RUN/admin.kubeconfig is for who uses it, and down.sh
# RUN takes it down.
#
# etcd, kube-apiserver, kube-scheduler and kubelet are one program, built by build.sh;
# containerd, runc and the CNI plugins are Debian's. Everything listens on 127.0.0.1, and
# the API server for pods on 10.96.0.1 as well, where they look for it. There is no
# controller manager: a namespace gets no default service account by itself.
#
# CLUSTER_BIN says where the programs are, CLUSTER_AGENT which midge-agent becomes the
# image midge-agent:test.
set -euo pipefail
run=$1
bin=${CLUSTER_BIN:?}
etcd_port=${ETCD_PORT:-23790} api_port=${API_PORT:-26443} kubelet_port=${KUBELET_PORT:-20250}
cgroup=midge-cluster
bridge=midge-cluster
services=midge-services
subnet=10.89.0.0/22
service_subnet=10.96.0.0/24
node=127.0.0.1
api=https://127.0.0.1:$api_port

mkdir -p "$run"/{pki,etcd,containerd/root,containerd/state,runc,kubelet,podlogs,cni/conf,cni/data,log,commands,images}
: >"$run/pids"
ln -s "$bin/node" "$run/node"

# start NAME COMMAND...: starts it in the background, and leaves RUN/commands/NAME to
# start it again.
start() {
	local name=$1
	shift
	{
		echo '#!/bin/bash'
		printf 'cd %q\n' "$run"
		printf 'exec '
		printf '%q ' "$@"
		printf '>>%q 2>&1 </dev/null\n' "$run/log/$name.log"
	} >"$run/commands/$name"
	chmod 755 "$run/commands/$name"
	setsid "$run/commands/$name" 9>&- &
	echo "$name $!" >>"$run/pids"
}

# alive NAME: fails with the end of its log when it has ended.
alive() {
	local pid
	pid=$(awk -v name="$1" '$1 == name {print $2}' "$run/pids")
	kill -0 "$pid" 2>/dev/null && return
	echo "$1 has ended:" >&2
	tail -n 20 "$run/log/$1.log" >&2
	exit 1
}

# await NAME SECONDS COMMAND...: waits until the command succeeds, while NAME runs.
await() {
	local name=$1 end=$((SECONDS + $2))
	shift 2
	until "$@" >/dev/null 2>&1; do
		alive "$name"
		if [ $SECONDS -ge $end ]; then
			echo "$name does not come up: $*" >&2
			tail -n 20 "$run/log/$name.log" >&2
			exit 1
		fi
		sleep 0.05
	done
}

# Certificates: a CA, and who is who by their names.
cd "$run/pki"
newkey() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
newkey ca
openssl req -x509 -new -key ca.key -subj /CN=cluster-ca -days 3650 -out ca.crt \
	-addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature 2>/dev/null
leaf() { # NAME SUBJECT USAGE [NAMES]
	newkey "$1"
	openssl req -new -key "$1.key" -subj "$2" -out "$1.csr" 2>/dev/null
	{
		echo "extendedKeyUsage=$3"
		echo "keyUsage=critical,digitalSignature"
		[ -z "${4:-}" ] || echo "subjectAltName=$4"
	} >"$1.ext"
	openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
}
leaf apiserver /CN=kube-apiserver serverAuth "IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
leaf kubelet /CN=$node serverAuth "IP:127.0.0.1"
leaf node /O=system:nodes/CN=system:node:$node clientAuth
leaf scheduler /CN=system:kube-scheduler clientAuth
leaf apiclient /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
leaf admin /O=system:masters/CN=admin clientAuth
openssl genrsa -out sa.key 2048 2>/dev/null
for user in admin node scheduler; do
	cat >"$run/$user.kubeconfig" <<-END
		apiVersion: v1
		kind: Config
		clusters: [{name: cluster, cluster: {server: "$api", certificate-authority: $run/pki/ca.crt}}]
		users: [{name: user, user: {client-certificate: $run/pki/$user.crt, client-key: $run/pki/$user.key}}]
		contexts: [{name: context, context: {cluster: cluster, user: user, namespace: default}}]
		current-context: context
	END
done
cd "$run"

start etcd "$bin/node" etcd --data-dir "$run/etcd" --unsafe-no-fsync --log-level warn \
	--listen-client-urls http://127.0.0.1:$etcd_port --advertise-client-urls http://127.0.0.1:$etcd_port \
	--listen-peer-urls http://127.0.0.1:$((etcd_port + 1)) --initial-advertise-peer-urls http://127.0.0.1:$((etcd_port + 1)) \
	--initial-cluster default=http://127.0.0.1:$((etcd_port + 1))

# A machine without CAP_SYS_RESOURCE cannot give a sandbox the score that containerd
# wants for it.
cat >containerd.toml <<END
version = 2
root = "$run/containerd/root"
state = "$run/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs","io.containerd.snapshotter.v1.btrfs","io.containerd.snapshotter.v1.devmapper","io.containerd.snapshotter.v1.zfs","io.containerd.internal.v1.opt","io.containerd.internal.v1.tracing"]
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "$run/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$run/cni/conf"
END
cat >cni/conf/10-cluster.conflist <<END
{"cniVersion":"0.4.0","name":"cluster","plugins":[
 {"type":"bridge","bridge":"$bridge","isGateway":true,"ipMasq":false,
  "ipam":{"type":"host-local","dataDir":"$run/cni/data","ranges":[[{"subnet":"$subnet"}]],"routes":[{"dst":"$service_subnet"}]}}]}
END
# The addresses of services are this machine's, where who wants to may listen on them.
ip link add $services type bridge
ip link set $services up
ip route add local $service_subnet dev $services
start forward "$bin/node" forward 10.96.0.1:443 127.0.0.1:$api_port
start containerd containerd --config "$run/containerd.toml"

# Whether a node is ready others say by a taint, which nobody would take away here.
start kube-apiserver "$bin/node" kube-apiserver --etcd-servers=http://127.0.0.1:$etcd_port \
	--bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port=$api_port --endpoint-reconciler-type=none \
	--tls-cert-file=pki/apiserver.crt --tls-private-key-file=pki/apiserver.key --client-ca-file=pki/ca.crt \
	--cert-dir="$run/apiserver" --service-cluster-ip-range=$service_subnet \
	--service-account-issuer=https://kubernetes.default.svc --service-account-key-file=pki/sa.key --service-account-signing-key-file=pki/sa.key \
	--allow-privileged=true --authorization-mode=Node,RBAC \
	--enable-admission-plugins=NodeRestriction --disable-admission-plugins=TaintNodesByCondition \
	--kubelet-client-certificate=pki/apiclient.crt --kubelet-client-key=pki/apiclient.key \
	--kubelet-certificate-authority=pki/ca.crt --kubelet-preferred-address-types=InternalIP

# image NAME ROOT CONFIG: makes images/NAME.tar of a root file system.
image() {
	local dir digest
	dir=$(mktemp -d)
	tar -C "$2" --owner=0 --group=0 --numeric-owner -cf "$dir/layer.tar" .
	digest=$(sha256sum "$dir/layer.tar" | cut -d' ' -f1)
	printf '{"architecture":"%s","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created_by":"test"}]}' \
		"$(dpkg --print-architecture)" "$3" "$digest" >"$dir/config.json"
	printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$1" >"$dir/manifest.json"
	tar -C "$dir" -cf "$run/images/$(basename "${1%:*}").tar" manifest.json config.json layer.tar
	rm -rf "$dir" "$2"
}
root=$(mktemp -d)
chmod 755 "$root"
cp "$bin/pause" "$root/pause"
image localhost/pause:1 "$root" '{"Entrypoint":["/pause"]}'
root=$(mktemp -d)
chmod 755 "$root"
mkdir -p "$root"/{bin,etc,tmp,root,usr/bin,proc,sys,dev}
chmod 1777 "$root/tmp"
cp /bin/busybox "$root/bin/busybox"
for applet in $(/bin/busybox --list); do
	[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n' >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
image docker.io/library/busybox:test "$root" '{"Env":["PATH=/bin:/usr/bin"]}'
if [ -n "${CLUSTER_AGENT:-}" ]; then
	root=$(mktemp -d)
	chmod 755 "$root"
	cp "$CLUSTER_AGENT" "$root/midge-agent"
	image docker.io/library/midge-agent:test "$root" '{"Entrypoint":["/midge-agent"]}'
fi
await containerd 60 ctr -a "$run/containerd.sock" version
for archive in images/*.tar; do
	ctr -a "$run/containerd.sock" -n k8s.io images import "$archive" >/dev/null
done

for controller in $(awk 'NR > 1 && $4 == 1 {print $1}' /proc/cgroups); do
	[ ! -d /sys/fs/cgroup/$controller ] || mkdir -p /sys/fs/cgroup/$controller/$cgroup
done
[ ! -d /sys/fs/cgroup/systemd ] || mkdir -p /sys/fs/cgroup/systemd/$cgroup
if [ -e /sys/fs/cgroup/cpuset/$cgroup ]; then
	cat /sys/fs/cgroup/cpuset/cpuset.cpus >/sys/fs/cgroup/cpuset/$cgroup/cpuset.cpus
	cat /sys/fs/cgroup/cpuset/cpuset.mems >/sys/fs/cgroup/cpuset/$cgroup/cpuset.mems
fi
: >resolv.conf
cat >kubelet.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $kubelet_port
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
healthzPort: $((kubelet_port - 2))
tlsCertFile: $run/pki/kubelet.crt
tlsPrivateKeyFile: $run/pki/kubelet.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $run/pki/ca.crt}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix://$run/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
maxPods: 300
makeIPTablesUtilChains: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 0%, imagefs.available: 0%, nodefs.inodesFree: 0%}
podLogsDir: $run/podlogs
volumePluginDir: $run/kubelet/volumeplugins
resolvConf: $run/resolv.conf
registryPullQPS: 0
eventRecordQPS: 0
serializeImagePulls: false
shutdownGracePeriod: 0s
kubeAPIQPS: 500
kubeAPIBurst: 500
END
request() { curl -fsS --cacert pki/ca.crt --cert pki/admin.crt --key pki/admin.key -H 'Content-Type: application/json' "$@"; }
await kube-apiserver 180 request $api/readyz
start kube-scheduler "$bin/node" kube-scheduler --kubeconfig "$run/scheduler.kubeconfig" --leader-elect=false --secure-port=0
start kubelet "$bin/node" kubelet --config "$run/kubelet.yaml" --kubeconfig "$run/node.kubeconfig" \
	--hostname-override=$node --root-dir="$run/kubelet" --cert-dir="$run/kubelet/pki" --v=2
await kube-apiserver 60 request $api/api/v1/namespaces/default
request -o /dev/null $api/api/v1/namespaces/default/serviceaccounts -d '{"metadata":{"name":"default"}}'
ready() { request $api/api/v1/nodes/$node | jq -e '.status.conditions[] | select(.type == "Ready" and .status == "True")'; }
await kubelet 120 ready
