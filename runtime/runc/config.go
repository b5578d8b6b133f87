package runc

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"midge/agent"
	"midge/agent/pid1"
	"midge/runtime"
)

// agentInside is where a container finds its first process's program: in a file
// system of its own, so that no image sees it.
const agentInside = "/dev/midge-agent"

// writeRuntimeConfig writes what the OCI runtime reads.
func (w *Worker) writeRuntimeConfig(spec runtime.ContainerSpec, s *stage, compat bool, volumes []volume) error {
	config, err := w.runtimeConfig(spec, s, compat, volumes)
	if err != nil {
		return err
	}
	b, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "config.json"), b, 0o600)
}

func (w *Worker) runtimeConfig(spec runtime.ContainerSpec, s *stage, compat bool, volumes []volume) (*specs.Spec, error) {
	capabilities, err := w.capabilities(spec.Privileged)
	if err != nil {
		return nil, err
	}
	rlimits, err := w.rlimits(spec)
	if err != nil {
		return nil, err
	}
	config := &specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{
			Args: []string{agentInside, agent.ModeInit},
			Env:  []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Cwd:  "/",
			Capabilities: &specs.LinuxCapabilities{
				Bounding:  capabilities,
				Effective: capabilities,
				Permitted: capabilities,
			},
			Rlimits: rlimits,
		},
		Root:     &specs.Root{Path: s.rootfs()},
		Hostname: hostname(spec),
		Mounts:   append(w.systemMounts(spec, s), volumeMounts(volumes)...),
		Linux: &specs.Linux{
			CgroupsPath: s.cgroup,
			Namespaces:  w.namespaces(spec, s),
			Resources:   w.resources(spec),
		},
	}
	if spec.Privileged {
		return config, nil
	}
	config.Linux.UIDMappings = w.users.uids.mappings()
	config.Linux.GIDMappings = w.users.gids.mappings()
	config.Linux.MaskedPaths = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
		"/sys/devices/virtual/powercap", "/sys/firmware",
	}
	config.Linux.ReadonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
	if w.hasCgroups() {
		// What version 1's hierarchies are mounted in is a file system that not every runtime
		// makes read-only as they are.
		config.Linux.ReadonlyPaths = append(config.Linux.ReadonlyPaths, "/sys/fs/cgroup")
	} else {
		config.Linux.MaskedPaths = append(config.Linux.MaskedPaths, "/sys/fs/cgroup") // those of the machine
	}
	config.Linux.Seccomp, err = seccompProfile(compat)
	return config, err
}

// rlimits are those that a container is given. None is above this process's own: to
// raise one takes a capability that not every server has.
func (w *Worker) rlimits(spec runtime.ContainerSpec) ([]specs.POSIXRlimit, error) {
	files := cmp.Or(spec.Limits.OpenFiles, w.options.Limits.OpenFiles)
	if files == 0 {
		return nil, nil
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		return nil, fmt.Errorf("read the limit of open files: %w", err)
	}
	files = min(files, own.Max)
	return []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: files, Hard: files}}, nil
}

func hostname(spec runtime.ContainerSpec) string {
	if spec.Hostname != "" {
		return spec.Hostname
	}
	return spec.Handle
}

// seccompProfile is that of every unprivileged container. For the programs of
// narrower architectures, whom nearly no image has, the runtime needs as long to
// compile it as for all else that makes a container.
func seccompProfile(compat bool) (*specs.LinuxSeccomp, error) {
	profile, err := defaultSeccomp()
	if err != nil || compat || len(profile.Architectures) == 0 {
		return profile, err
	}
	native := *profile
	native.Architectures = profile.Architectures[:1]
	return &native, nil
}

var defaultSeccomp = sync.OnceValues(func() (*specs.LinuxSeccomp, error) {
	capabilities := pid1.UnprivilegedCapabilities()
	return seccomp.GetDefaultProfile(&specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: capabilities}},
	})
})

func (w *Worker) namespaces(spec runtime.ContainerSpec, s *stage) []specs.LinuxNamespace {
	namespaces := []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace},
		{Type: specs.UTSNamespace}, {Type: specs.CgroupNamespace},
	}
	if !spec.Privileged {
		namespaces = append(namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	}
	switch w.networkOf(spec) {
	case NetworkBridge:
		namespaces = append(namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: agent.NetworkPath(s.place)})
	case NetworkNone:
		namespaces = append(namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	}
	return namespaces
}

func (w *Worker) resources(spec runtime.ContainerSpec) *specs.LinuxResources {
	if !w.hasCgroups() {
		return nil
	}
	limits := spec.Limits
	if limits.CPUShares == 0 {
		limits.CPUShares = w.options.Limits.CPUShares
	}
	if limits.Memory == 0 {
		limits.Memory = w.options.Limits.Memory
	}
	if limits.Pids == 0 {
		limits.Pids = w.options.Limits.Pids
	}
	resources := &specs.LinuxResources{}
	if !w.ordinary { // whose user namespace has no devices to make
		resources.Devices = []specs.LinuxDeviceCgroup{{Allow: spec.Privileged, Access: "rwm"}}
	}
	if limits.CPUShares > 0 {
		resources.CPU = &specs.LinuxCPU{Shares: &limits.CPUShares}
	}
	if limits.Memory > 0 {
		memory := int64(limits.Memory)
		resources.Memory = &specs.LinuxMemory{Limit: &memory}
		if swapIsLimited() {
			resources.Memory.Swap = &memory
		}
	}
	if limits.Pids > 0 {
		resources.Pids = &specs.LinuxPids{Limit: &limits.Pids}
	}
	return resources
}

// swapIsLimited tells whether the kernel can limit swap: without that a limit of it is an error.
var swapIsLimited = sync.OnceValue(func() bool {
	for _, path := range []string{"/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "/sys/fs/cgroup/cgroup.controllers"} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
})

// systemMounts are those that every container has.
func (w *Worker) systemMounts(spec runtime.ContainerSpec, s *stage) []specs.Mount {
	access := "ro"
	if spec.Privileged {
		access = "rw"
	}
	// A user namespace may mount what shows a network only when that is its own.
	bind := "bind"
	if w.ordinary {
		bind = "rbind"
	}
	sys := specs.Mount{Destination: "/sys", Type: "bind", Source: s.path("sys"), Options: []string{bind, "nosuid", "noexec", "nodev", access}}
	if w.networkOf(spec) == NetworkNone {
		sys = specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", access}}
	}
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		sys,
		{Destination: agentInside, Type: "bind", Source: s.path("agent"), Options: []string{"bind", "ro", "nosuid", "nodev"}},
	}
	if w.toolbox != "" {
		mounts = append(mounts, specs.Mount{Destination: toolboxInside, Type: "bind", Source: s.path("toolbox"), Options: []string{"bind", "ro", "nosuid", "nodev"}})
	}
	if !w.hasCgroups() {
		return mounts
	}
	return append(mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", access}})
}

// volumeMounts mounts the volumes, those that others lie in first.
func volumeMounts(volumes []volume) []specs.Mount {
	mounts := make([]specs.Mount, 0, len(volumes))
	for _, v := range volumes {
		mounts = append(mounts, specs.Mount{Destination: v.Target, Type: "bind", Source: v.Mounted, Options: []string{"rbind", "rw", "nosuid", "nodev"}})
	}
	slices.SortStableFunc(mounts, func(a, b specs.Mount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	return mounts
}

// capabilities are what root in a container may have, as far as this process has it.
func (w *Worker) capabilities(privileged bool) ([]string, error) {
	own, err := ownCapabilities()
	if err != nil {
		return nil, err
	}
	if privileged {
		return own, nil
	}
	return slices.DeleteFunc(pid1.UnprivilegedCapabilities(), func(name string) bool {
		return !slices.Contains(own, name)
	}), nil
}

var ownCapabilities = sync.OnceValues(func() ([]string, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseCapabilities(f)
})

// parseCapabilities gives the bounding set in a file like /proc/self/status.
func parseCapabilities(status io.Reader) ([]string, error) {
	scanner := bufio.NewScanner(status)
	for scanner.Scan() {
		if digits, ok := strings.CutPrefix(scanner.Text(), "CapBnd:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(digits), 16, 64)
			if err != nil {
				return nil, fmt.Errorf("parse the server's capabilities: %w", err)
			}
			return capabilityNames(set), nil
		}
	}
	return nil, scanner.Err()
}

// capabilityNames gives the names of a set, as far as OCI runtimes know them.
func capabilityNames(set uint64) []string {
	var all []string
	for number, name := range capabilityTable {
		if set&(1<<number) != 0 {
			all = append(all, name)
		}
	}
	return all
}

var capabilityTable = [...]string{
	unix.CAP_CHOWN:              "CAP_CHOWN",
	unix.CAP_DAC_OVERRIDE:       "CAP_DAC_OVERRIDE",
	unix.CAP_DAC_READ_SEARCH:    "CAP_DAC_READ_SEARCH",
	unix.CAP_FOWNER:             "CAP_FOWNER",
	unix.CAP_FSETID:             "CAP_FSETID",
	unix.CAP_KILL:               "CAP_KILL",
	unix.CAP_SETGID:             "CAP_SETGID",
	unix.CAP_SETUID:             "CAP_SETUID",
	unix.CAP_SETPCAP:            "CAP_SETPCAP",
	unix.CAP_LINUX_IMMUTABLE:    "CAP_LINUX_IMMUTABLE",
	unix.CAP_NET_BIND_SERVICE:   "CAP_NET_BIND_SERVICE",
	unix.CAP_NET_BROADCAST:      "CAP_NET_BROADCAST",
	unix.CAP_NET_ADMIN:          "CAP_NET_ADMIN",
	unix.CAP_NET_RAW:            "CAP_NET_RAW",
	unix.CAP_IPC_LOCK:           "CAP_IPC_LOCK",
	unix.CAP_IPC_OWNER:          "CAP_IPC_OWNER",
	unix.CAP_SYS_MODULE:         "CAP_SYS_MODULE",
	unix.CAP_SYS_RAWIO:          "CAP_SYS_RAWIO",
	unix.CAP_SYS_CHROOT:         "CAP_SYS_CHROOT",
	unix.CAP_SYS_PTRACE:         "CAP_SYS_PTRACE",
	unix.CAP_SYS_PACCT:          "CAP_SYS_PACCT",
	unix.CAP_SYS_ADMIN:          "CAP_SYS_ADMIN",
	unix.CAP_SYS_BOOT:           "CAP_SYS_BOOT",
	unix.CAP_SYS_NICE:           "CAP_SYS_NICE",
	unix.CAP_SYS_RESOURCE:       "CAP_SYS_RESOURCE",
	unix.CAP_SYS_TIME:           "CAP_SYS_TIME",
	unix.CAP_SYS_TTY_CONFIG:     "CAP_SYS_TTY_CONFIG",
	unix.CAP_MKNOD:              "CAP_MKNOD",
	unix.CAP_LEASE:              "CAP_LEASE",
	unix.CAP_AUDIT_WRITE:        "CAP_AUDIT_WRITE",
	unix.CAP_AUDIT_CONTROL:      "CAP_AUDIT_CONTROL",
	unix.CAP_SETFCAP:            "CAP_SETFCAP",
	unix.CAP_MAC_OVERRIDE:       "CAP_MAC_OVERRIDE",
	unix.CAP_MAC_ADMIN:          "CAP_MAC_ADMIN",
	unix.CAP_SYSLOG:             "CAP_SYSLOG",
	unix.CAP_WAKE_ALARM:         "CAP_WAKE_ALARM",
	unix.CAP_BLOCK_SUSPEND:      "CAP_BLOCK_SUSPEND",
	unix.CAP_AUDIT_READ:         "CAP_AUDIT_READ",
	unix.CAP_PERFMON:            "CAP_PERFMON",
	unix.CAP_BPF:                "CAP_BPF",
	unix.CAP_CHECKPOINT_RESTORE: "CAP_CHECKPOINT_RESTORE",
}
