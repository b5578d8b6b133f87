#!/bin/bash
# down.sh RUN: takes down what up.sh has started there, however far that came, and
# removes what it left: containers, mounts, the bridge, cgroups and RUN.
set -uo pipefail
run=$1
# Parts of it have the same names wherever its state is: of another nothing is taken down.
[ -d "$run" ] || exit 0
cgroup=midge-cluster
bridge=midge-cluster
services=midge-services

# running PID: tells whether it runs; one that nobody waits for has ended, too.
running() { grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status"; }

# stop NAME [SIGNAL]
stop() {
	local pid
	pid=$(awk -v name="$1" '$1 == name {pid = $2} END {print pid}' "$run/pids" 2>/dev/null)
	[ -n "$pid" ] || return 0
	kill -CONT "$pid" 2>/dev/null
	kill -"${2:-TERM}" "$pid" 2>/dev/null
	for _ in $(seq 200); do
		running "$pid" || return 0
		sleep 0.05
	done
	kill -KILL "$pid" 2>/dev/null
}

stop kubelet
stop kube-scheduler KILL
stop kube-apiserver KILL
stop etcd KILL
stop forward KILL
ctr="ctr -a $run/containerd.sock -n k8s.io"
if [ -S "$run/containerd.sock" ]; then
	for task in $($ctr tasks ls -q 2>/dev/null); do $ctr tasks rm -f "$task" >/dev/null 2>&1; done
	for container in $($ctr containers ls -q 2>/dev/null); do $ctr containers rm "$container" >/dev/null 2>&1; done
fi
stop containerd
# What is left when a run was cut short: processes in the cluster's own cgroup, and its
# containerd's shims.
for procs in $(find /sys/fs/cgroup/pids/$cgroup /sys/fs/cgroup/$cgroup -name cgroup.procs 2>/dev/null); do
	for pid in $(cat "$procs"); do kill -KILL "$pid" 2>/dev/null; done
done
for process in /proc/[0-9]*; do
	if tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -q "^[^ ]*containerd-shim.* -address $run/containerd.sock"; then
		kill -KILL "${process#/proc/}" 2>/dev/null
	fi
done
sleep 0.1
awk -v run="$run/" 'index($2, run) == 1 {print $2}' /proc/mounts | sort -r | while read -r mount; do umount -l "$mount" 2>/dev/null; done
find /var/log/containers -lname "$run/*" -delete 2>/dev/null
iptables -w -t mangle -S POSTROUTING 2>/dev/null | sed -n "s/^-A \(.*--comment $bridge .*\)/\1/p" | while read -r rule; do
	iptables -w -t mangle -D $rule
done
ip link del $bridge 2>/dev/null
ip link del $services 2>/dev/null
for top in /sys/fs/cgroup /sys/fs/cgroup/*; do
	[ ! -d "$top/$cgroup" ] || find "$top/$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null
done
rm -rf "$run"
