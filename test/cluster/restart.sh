#!/bin/bash
# restart.sh RUN NAME: kills a part of the cluster that up.sh has started in RUN, unless it
# has ended already, and starts it again.
set -euo pipefail
run=$1 name=$2
pid=$(awk -v name="$name" '$1 == name {pid = $2} END {print pid}' "$run/pids")
kill -KILL "$pid" 2>/dev/null || true
while grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$pid/status"; do sleep 0.05; done
setsid "$run/commands/$name" &
echo "$name $!" >>"$run/pids"
