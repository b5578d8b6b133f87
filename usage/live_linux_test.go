package usage

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"midge/api"
)

// watched lets a worker work in a group of its own and gives what the group used
// and what the worker says of itself.
func watched(t *testing.T, work string, limits map[string]string) (api.ResourceUsage, own) {
	t.Helper()
	w, location := startWorker(t, work, limits)
	watch, err := StartWatch(t.Context(), location, OpenSystem(), false)
	if err != nil {
		t.Fatal(err)
	}
	var itself own
	if err := json.Unmarshal([]byte(w.say(t, "go")), &itself); err != nil {
		t.Fatal(err)
	}
	used, err := watch.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return used, itself
}

func last(t *testing.T, used api.ResourceUsage) api.Sample {
	t.Helper()
	if len(used.Samples) == 0 {
		t.Fatal("there is no sample")
	}
	return used.Samples[len(used.Samples)-1]
}

func TestRealCPU(t *testing.T) {
	used, itself := watched(t, "cpu", nil)
	cpu := last(t, used).CPUStat
	if cpu == nil || cpu.UsageNanos == nil {
		t.Fatalf("there is no cpu usage: %v", used.Missing)
	}
	got := time.Duration(*cpu.UsageNanos)
	if tolerance := itself.CPU / 5; got < itself.CPU-tolerance || got > itself.CPU+tolerance {
		t.Errorf("the group used %v of cpu, its one process says %v", got, itself.CPU)
	}
	if cpu.UserNanos == nil || *cpu.UserNanos == 0 {
		t.Error("none of it is the user's")
	}
	// The machine counts ticks, of which an emulated one that has to wait itself loses some.
	for attempt := 1; !covers(used.SysCPUStat, itself.CPU); attempt++ {
		if attempt == 20 {
			t.Fatalf("the machine's cpu time meanwhile is %+v, less than the group's %v", used.SysCPUStat, itself.CPU)
		}
		used, itself = watched(t, "cpu", nil)
	}
}

// covers tells whether a machine was as busy as a process on it.
func covers(machine *api.SysCPUStat, process time.Duration) bool {
	return machine != nil && machine.User+machine.Nice+machine.System >= 0.9*process.Seconds()
}

func TestRealMemory(t *testing.T) {
	used, _ := watched(t, "memory", map[string]string{
		"memory.limit_in_bytes": strconv.Itoa(memoryAllowed), "memory.max": strconv.Itoa(memoryAllowed),
	})
	memory := last(t, used).MemoryStat
	if memory == nil || memory.Current == nil || memory.Anon == nil || memory.Peak == nil {
		t.Fatalf("memory is %+v: %v", memory, used.Missing)
	}
	for name, got := range map[string]uint64{"anon": *memory.Anon, "current": *memory.Current, "peak": *memory.Peak} {
		if got < memoryToUse*9/10 || got > memoryAllowed {
			t.Errorf("%s is %d, of %d in use and %d allowed", name, got, memoryToUse, memoryAllowed)
		}
	}
	if used.Limits == nil || used.Limits.MemoryBytes == nil || *used.Limits.MemoryBytes != memoryAllowed {
		t.Errorf("limits are %+v, want %d bytes of memory", used.Limits, memoryAllowed)
	}
}

func TestRealDisk(t *testing.T) {
	used, _ := watched(t, "disk", nil)
	disk := last(t, used).IOStat
	if disk == nil || disk.ReadBytes == nil || disk.WriteBytes == nil {
		t.Fatalf("disk is %+v: %v", disk, used.Missing)
	}
	if *disk.WriteBytes < bytesToStore || *disk.WriteBytes > 2*bytesToStore {
		t.Errorf("%d bytes written, want about %d", *disk.WriteBytes, bytesToStore)
	}
	if *disk.ReadBytes < bytesToStore || *disk.ReadBytes > 2*bytesToStore {
		t.Errorf("%d bytes read, want about %d", *disk.ReadBytes, bytesToStore)
	}
}

func TestRealProcesses(t *testing.T) {
	used, _ := watched(t, "memory", map[string]string{"pids.max": "77"})
	pids := last(t, used).PIDsStat
	if pids == nil || pids.Current == nil || *pids.Current == 0 {
		t.Fatalf("pids are %+v: %v", pids, used.Missing)
	}
	if pids.Peak == nil || *pids.Peak < *pids.Current {
		t.Errorf("the peak is less than the current %d: %+v", *pids.Current, pids)
	}
	if used.Limits.PIDs == nil || *used.Limits.PIDs != 77 {
		t.Errorf("limits are %+v, want 77 pids", used.Limits)
	}
}

// A worker has a network namespace of its own with nothing but loopback in it.
func TestRealNetworkOfItsOwn(t *testing.T) {
	used, _ := watched(t, "memory", nil)
	network := last(t, used).NetStat
	if network == nil || network.RxBytes == nil || *network.RxBytes != 0 || *network.TxBytes != 0 {
		t.Errorf("the network is %+v, want one without traffic: %v", network, used.Missing)
	}
}

func TestRealPressure(t *testing.T) {
	used, _ := watched(t, "cpu", nil)
	sample := last(t, used)
	for name, pressure := range map[string]*api.Pressure{
		"cpu": sample.CPUStat.Pressure, "memory": sample.MemoryStat.Pressure, "io": sample.IOStat.Pressure,
	} {
		if pressure == nil || pressure.Some == nil || pressure.Some.Total == nil || pressure.Full == nil {
			t.Errorf("pressure of %s is %+v: %v", name, pressure, used.Missing)
		}
	}
}

func TestRealOOMKillIsExplained(t *testing.T) {
	limits := map[string]string{
		"memory.limit_in_bytes": strconv.Itoa(memoryAllowed), "memory.max": strconv.Itoa(memoryAllowed),
		"memory.swap.max": "0",
	}
	used, _ := watched(t, "child with too much memory", limits)
	memory := last(t, used).MemoryStat
	if memory.OomKillEvents == nil || *memory.OomKillEvents == 0 {
		t.Fatalf("no oom kill is counted in %+v", memory)
	}
	const want = "a process of the task was killed for memory: it reached its limit of 128 MB (peak 128 MB); " +
		"raise container_limits.memory in the task's file or the server's --default-task-memory-limit"
	if got := (Ending{ExitStatus: 1, Usage: api.StepUsage{ResourceUsage: used}}).Explain(); got != want {
		t.Errorf("explained as\n%s\nwant\n%s", got, want)
	}
}

func TestSampleOfARemovedGroupFails(t *testing.T) {
	w, location := startWorker(t, "cpu", nil)
	group, err := Open(location)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	if err := w.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = w.Wait()
	for _, directory := range []string{location.Unified, location.CPU, location.CPUAccounting, location.Memory, location.BlockIO, location.PIDs} {
		if directory != "" {
			removeGroup(t, directory)
		}
	}
	if sample, err := group.Sample(t.Context()); err == nil {
		t.Errorf("a group that is gone gives %+v", sample)
	}
}

// What procfs reads before and after is what ours must lie between.
func TestSystemAgreesWithProcfs(t *testing.T) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		t.Fatal(err)
	}
	before, err := proc.Stat()
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenSystem().Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after, err := proc.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][3]float64{
		"user":             {before.CPUTotal.User, got.CPUStat.User, after.CPUTotal.User},
		"system":           {before.CPUTotal.System, got.CPUStat.System, after.CPUTotal.System},
		"context switches": {float64(before.ContextSwitches), float64(got.ProcStat.ContextSwitches), float64(after.ContextSwitches)},
		"processes":        {float64(before.ProcessCreated), float64(got.ProcStat.ProcessCreated), float64(after.ProcessCreated)},
	} {
		if c[1] < c[0] || c[1] > c[2] {
			t.Errorf("%s is %v, not from %v to %v", name, c[1], c[0], c[2])
		}
	}
	memory, err := proc.Meminfo()
	if err != nil {
		t.Fatal(err)
	}
	if *got.MemoryStat.Total != *memory.MemTotalBytes {
		t.Errorf("memory is %d, want %d", *got.MemoryStat.Total, *memory.MemTotalBytes)
	}
}

func TestRecentSharesASample(t *testing.T) {
	system := OpenSystem()
	first, err := system.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// An hour later by its own clock it would be too old; made younger it is shared.
	first.Timestamp = time.Now().Add(time.Hour)
	system.latest.Store(&first)
	second, err := system.Recent(t.Context())
	if err != nil || second.CPUStat != first.CPUStat {
		t.Errorf("a sample that is fresh was not shared: %v", err)
	}
	first.Timestamp = time.Now().Add(-2 * freshness)
	third, err := system.Recent(t.Context())
	if err != nil || third.CPUStat == first.CPUStat {
		t.Errorf("a sample that is old was shared: %v", err)
	}
}

// What a sample of a container costs a process that is awake; test/bench says what it
// costs one that sleeps in between.
func BenchmarkSample(b *testing.B) { benchmarkSample(b, (*Cgroup).Sample) }
func BenchmarkBrief(b *testing.B)  { benchmarkSample(b, (*Cgroup).Brief) }

func benchmarkSample(b *testing.B, sample func(*Cgroup, context.Context) (api.Sample, error)) {
	_, location := startWorker(b, "memory", nil)
	group, err := Open(location)
	if err != nil {
		b.Fatal(err)
	}
	defer group.Close()
	before := cpuTime()
	for b.Loop() {
		if _, err := sample(group, b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

// A brief sample has all but what matters at the end alone.
func TestBriefSample(t *testing.T) {
	_, location := startWorker(t, "cpu", nil)
	group, err := Open(location)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	brief, err := group.Brief(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	full, err := group.Sample(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if brief.CPUStat.UsageNanos == nil || brief.MemoryStat.Current == nil || brief.PIDsStat.Current == nil {
		t.Errorf("it lacks what changes: %+v, %+v, %+v", brief.CPUStat, brief.MemoryStat, brief.PIDsStat)
	}
	if (full.MemoryStat.Anon == nil) != (brief.MemoryStat.Anon == nil) || (full.CPUStat.Pressure == nil) != (brief.CPUStat.Pressure == nil) {
		t.Errorf("it lacks kinds of memory or pressure: %+v, %+v", brief.MemoryStat, brief.CPUStat)
	}
	if full.MemoryStat.OomKillEvents == nil || brief.MemoryStat.OomKillEvents != nil {
		t.Errorf("the kills are %v at the end and %v before", full.MemoryStat.OomKillEvents, brief.MemoryStat.OomKillEvents)
	}
}
