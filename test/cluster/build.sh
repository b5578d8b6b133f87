#!/bin/bash
# build.sh: builds the programs of the test cluster into a cache, unless they are there,
# and prints the directory that they are in. The first time takes minutes.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/node" && pwd)
sum=$(cat "${BASH_SOURCE[0]}" "$source"/*.go "$source"/pause/*.go "$source"/go.{mod,sum} <(go env GOVERSION) | sha256sum | cut -c1-16)
cache=${CLUSTER_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/midge/cluster}
bin=$cache/$sum
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -x "$bin/node" ]; then
	echo "building a Kubernetes node into $bin; this takes some minutes" >&2
	rm -rf "$bin.new"
	mkdir "$bin.new"
	version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' "$source/go.mod")
	minor=${version#v1.}
	base=k8s.io/component-base/version
	cd "$source"
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$bin.new/pause" ./pause
	# Less collecting of garbage, and no inlining, which is most of the work in code that was
	# generated, make the build much faster. The standard library is as midge has it.
	GOGC=400 CGO_ENABLED=0 go build -trimpath -gcflags 'all=-dwarf=false -l' -gcflags std= -o "$bin.new/node" -ldflags \
		"-s -w -X $base.gitVersion=$version -X $base.gitMajor=1 -X $base.gitMinor=${minor%%.*}" .
	mv "$bin.new" "$bin"
fi
echo "$bin"
