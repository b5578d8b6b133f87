// Package usage tells what things cost: what a container used of cpu, memory, disk,
// processes and network, and what its whole machine did meanwhile. It takes samples,
// sums them up, and prints the table, the verdict and, of a task that was killed, the
// reason.
//
// It reads the unified cgroup hierarchy (v2), the old ones (v1), and both at once
// (hybrid), each for what it has. A number that the kernel or the set-up cannot give
// is absent, and the reason is kept, so that it never looks like a zero.
//
// The parsers here are plain ones: they are linked into every container's supervisor,
// where a start that is half a millisecond longer, or an eBPF compiler, would be felt.
//
// The package knows nothing of builds, runtimes or spans.
package usage
