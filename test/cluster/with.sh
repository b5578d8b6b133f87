#!/bin/bash
# with.sh COMMAND...: runs a command while a cluster is up that the tests it starts share,
# one package at a time: some of them restart parts of the cluster.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# One at a time on a machine, as package cluster has it: the file that is locked says where
# its state is, and who was killed has left it up.
lock=${TMPDIR:-/tmp}/midge-cluster.lock
exec 8>>"$lock"
flock 8
"$here/down.sh" "$(cat "$lock")" 8>&-
CLUSTER_BIN=$("$here/build.sh")
run=$(mktemp -d "${TMPDIR:-/tmp}/midge-cluster-XXXXXX")
echo "$run" >"$lock"
trap '"$here/down.sh" "$run" 8>&-' EXIT
(cd "$here/../.." && CGO_ENABLED=0 go build -o "$run/midge-agent" ./cmd/midge-agent)
export CLUSTER_BIN CLUSTER_AGENT=$run/midge-agent MIDGE_TEST_CLUSTER=$run
"$here/up.sh" "$run" 8>&- >&2
"$@" 8>&-
