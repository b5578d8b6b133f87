#!/bin/bash
# enforce.sh: builds the program that has NetworkPolicies hold into the cache of build.sh,
# unless it is there, and prints its path.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/enforce" && pwd)
sum=$(cat "${BASH_SOURCE[0]}" "$source"/*.go "$source"/go.{mod,sum} <(go env GOVERSION) | sha256sum | cut -c1-16)
cache=${CLUSTER_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/midge/cluster}
program=$cache/enforce-$sum
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ ! -x "$program" ]; then
	echo "building $program; this takes a minute or two" >&2
	cd "$source"
	# As fast as build.sh has it.
	GOGC=400 CGO_ENABLED=0 go build -trimpath -gcflags 'all=-dwarf=false -l' -gcflags std= -ldflags '-s -w' -o "$program.new" .
	mv "$program.new" "$program"
fi
echo "$program"
