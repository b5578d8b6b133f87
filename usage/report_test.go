package usage

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"midge/api"
	"midge/test/golden"
)

func pointer[T any](value T) *T { return &value }

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func some(total time.Duration) *api.Pressure {
	zero := pointer(0.0)
	values := &api.PressureValues{Avg10: zero, Avg60: zero, Avg300: zero, Total: pointer(uint64(total.Microseconds()))}
	return &api.Pressure{Some: values, Full: values}
}

// sampleAt is a sample of a task that waits for its disk 41% of the time.
func sampleAt(seconds float64) api.Sample {
	passed := time.Duration(seconds * float64(time.Second))
	return api.Sample{
		Timestamp:  at(seconds),
		CPUStat:    &api.CPUStat{UsageNanos: pointer(uint64(2.84 * float64(passed))), Pressure: some(passed * 3 / 100)},
		MemoryStat: &api.MemoryStat{Current: pointer[uint64](500 << 20), Peak: pointer[uint64](612 << 20), OomKillEvents: pointer[uint64](0), Pressure: some(0)},
		IOStat:     &api.IOStat{ReadBytes: pointer[uint64](1288490189), WriteBytes: pointer[uint64](310 << 20), Pressure: some(passed * 41 / 100)},
		PIDsStat:   &api.PIDsStat{Current: pointer[uint64](12), Peak: pointer[uint64](41)},
		NetStat:    &api.NetStat{RxBytes: pointer[uint64](4 << 20), TxBytes: pointer[uint64](1 << 20)},
	}
}

func diskTask() api.StepUsage {
	return api.StepUsage{Name: "task one-off", Started: start, Ended: at(7.5), ResourceUsage: api.ResourceUsage{
		Samples:    []api.Sample{sampleAt(2), sampleAt(4), sampleAt(6), sampleAt(7.5)},
		SysCPUStat: &api.SysCPUStat{User: 25, System: 5, Idle: 4.09},
		Limits:     &api.UsageLimits{MemoryBytes: pointer[uint64](1 << 30)},
	}}
}

// v1Task is a task on a machine that cannot tell much of it.
func v1Task() api.StepUsage {
	return api.StepUsage{Name: "task old\x1b[2J", Started: start, Ended: at(3), ResourceUsage: api.ResourceUsage{
		Samples: []api.Sample{{
			Timestamp:  at(3),
			CPUStat:    &api.CPUStat{UsageNanos: pointer(uint64(time.Second)), ThrottledNanos: pointer(uint64(1200 * time.Millisecond))},
			MemoryStat: &api.MemoryStat{Current: pointer[uint64](3 << 20), OomKillEvents: pointer[uint64](2)},
			PIDsStat:   &api.PIDsStat{Current: pointer[uint64](3)},
		}},
		Limits: &api.UsageLimits{CPUs: pointer(0.5), PIDs: pointer[uint64](64)},
		Missing: map[string]string{
			"cpuStat.pressure": "cgroup v1 keeps none", "memoryStat.pressure": "cgroup v1 keeps none", "ioStat.pressure": "cgroup v1 keeps none",
			"ioStat": "its processes' counters may not be read", "netStat": "it shares the machine's network",
		},
	}}
}

// inMemory is a step of a runtime that has nothing to sample.
func inMemory() api.StepUsage {
	return api.StepUsage{Name: "in memory", Started: start, Ended: at(1), ResourceUsage: api.ResourceUsage{
		Missing: map[string]string{"": "the runtime has no control groups"},
	}}
}

// briefTask is a task that was over before what it took to start its container is less
// than what it did.
func briefTask() api.StepUsage {
	return api.StepUsage{Name: "task brief", Started: start, Ended: at(0.006), ResourceUsage: api.ResourceUsage{
		Samples: []api.Sample{{
			Timestamp:  at(0.008),
			CPUStat:    &api.CPUStat{UsageNanos: pointer(uint64(46 * time.Millisecond)), Pressure: some(24 * time.Millisecond)},
			MemoryStat: &api.MemoryStat{Peak: pointer[uint64](3 << 20), Pressure: some(0)},
			IOStat:     &api.IOStat{ReadBytes: pointer[uint64](0), WriteBytes: pointer[uint64](28 << 10), Pressure: some(0)},
			PIDsStat:   &api.PIDsStat{Peak: pointer[uint64](9)},
			NetStat:    &api.NetStat{RxBytes: pointer[uint64](446), TxBytes: pointer[uint64](752)},
		}},
		SysCPUStat: &api.SysCPUStat{User: 0.01},
	}}
}

// session is somebody in a container.
func session() api.StepUsage {
	sample := api.Sample{
		Timestamp:  at(60),
		CPUStat:    &api.CPUStat{UsageNanos: pointer(uint64(20 * time.Millisecond))},
		MemoryStat: &api.MemoryStat{Peak: pointer[uint64](3 << 20)},
		IOStat:     &api.IOStat{ReadBytes: pointer[uint64](0), WriteBytes: pointer[uint64](28 << 10)},
	}
	const why = "counted for the whole container"
	return api.StepUsage{Session: "x", Name: "hijack bash", Started: start, Ended: at(60), ResourceUsage: api.ResourceUsage{
		Samples: []api.Sample{sample},
		Missing: map[string]string{"netStat": why, "pidsStat": why, "cpuStat.pressure": why},
	}}
}

func client() *api.ClientUsage {
	return &api.ClientUsage{
		WallNanos: int64(8400 * time.Millisecond), UserNanos: pointer(uint64(40 * time.Millisecond)), SystemNanos: pointer(uint64(13 * time.Millisecond)),
		PeakBytes: pointer[uint64](23 << 20), SentBytes: 12 << 10, ReceivedBytes: 8_493_465, Requests: 9,
	}
}

func TestTable(t *testing.T) {
	build := api.BuildUsage{Steps: []api.StepUsage{diskTask(), v1Task(), briefTask(), {Name: "nothing", Started: start, Ended: start}, inMemory(), session()}, Client: client()}
	for _, width := range []int{60, 80, 160, 0} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			var text strings.Builder
			if err := Table(&text, build, width); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, fmt.Sprintf("table-%d.txt", width), text.String())
			if strings.ContainsRune(text.String(), 0x1b) {
				t.Error("an escape of the step's name reaches the terminal")
			}
			if width < 80 {
				return
			}
			for line := range strings.Lines(text.String()) {
				if n := utf8.RuneCountInString(line) - 1; n > width {
					t.Errorf("a line is %d characters wide: %s", n, line)
				}
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	step := func(seconds float64, sample api.Sample) api.BuildUsage {
		return api.BuildUsage{Steps: []api.StepUsage{
			{Name: "short", Started: start, Ended: at(0.1)},
			{Name: "task build", Started: start, Ended: at(seconds), ResourceUsage: api.ResourceUsage{Samples: []api.Sample{sample}}},
		}}
	}
	cpu := func(used, throttled time.Duration, waited *api.Pressure) api.Sample {
		return api.Sample{CPUStat: &api.CPUStat{UsageNanos: pointer(uint64(used)), ThrottledNanos: pointer(uint64(throttled)), Pressure: waited}}
	}
	for _, test := range []struct {
		name  string
		build api.BuildUsage
		part  string
		want  string
	}{
		{"nothing ran", api.BuildUsage{}, "", ""},
		{"only somebody looked", api.BuildUsage{Steps: []api.StepUsage{{Session: "x", Name: "hijack sh", Started: start, Ended: at(60)}}}, "", ""},
		{"somebody looked for longer", api.BuildUsage{Steps: append(step(2, api.Sample{}).Steps, api.StepUsage{Session: "x", Name: "hijack sh", Started: start, Ended: at(60)})}, "", "slowest part: task build, 2.0 s"},
		{"disk", api.BuildUsage{Steps: []api.StepUsage{diskTask()}}, "run", "slowest part: run, waiting for disk 3.1 s of 7.5 s"},
		{"unknown", step(2, api.Sample{}), "", "slowest part: task build, 2.0 s"},
		{"computing", step(2, cpu(1900*time.Millisecond, 0, nil)), "", "slowest part: task build, computing 1.9 s of 2.0 s"},
		{"computing on many", step(2, cpu(8*time.Second, 0, nil)), "", "slowest part: task build, computing 2.0 s of 2.0 s"},
		{"sleeping", step(2, cpu(100*time.Millisecond, 0, nil)), "", "slowest part: task build, waiting for something else than disk, memory or cpu 1.9 s of 2.0 s"},
		{"throttled", step(2, cpu(time.Second, 900*time.Millisecond, nil)), "", "slowest part: task build, held back by its cpu limit 0.9 s of 2.0 s"},
		{"crowded", step(2, cpu(time.Second, 0, some(time.Second))), "", "slowest part: task build, waiting for a free cpu 1.0 s of 2.0 s"},
		{"out of memory", step(2, api.Sample{MemoryStat: &api.MemoryStat{Pressure: some(1700 * time.Millisecond)}}), "", "slowest part: task build, waiting for memory 1.7 s of 2.0 s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Verdict(test.build, test.part, 0); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestVerdictOnAPartOutsideOfTheSteps(t *testing.T) {
	const want = "slowest part: upload src, 12.0 s"
	if got := Verdict(api.BuildUsage{Steps: []api.StepUsage{diskTask()}}, "upload src", 12*time.Second); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSummaryOfASessionCountsFromItsBaseline(t *testing.T) {
	before := sampleAt(2)
	session := diskTask()
	session.ResourceUsage.Baseline = &before
	got := Summarise(session)
	if want := time.Duration(2.84 * 5.5 * float64(time.Second)); *got.CPU != want {
		t.Errorf("cpu is %v, want %v", *got.CPU, want)
	}
	if *got.Read != 0 || *got.Received != 0 {
		t.Errorf("read %d and received %d since the baseline, want 0", *got.Read, *got.Received)
	}
	if want := uint64(500 << 20); *got.MemoryPeak != want || !got.MemoryPeakSeen {
		t.Errorf("peak is %d, want the %d that a sample saw: the kernel's peak is from before", *got.MemoryPeak, want)
	}
	if *got.PIDsPeak != 12 || !got.PIDsPeakSeen {
		t.Errorf("pids peak is %d, want the 12 that a sample saw", *got.PIDsPeak)
	}
}

func TestStalls(t *testing.T) {
	got := Stalls(diskTask())
	var want []api.Stall
	for _, span := range [][2]float64{{0, 2}, {2, 4}, {4, 6}, {6, 7.5}} {
		want = append(want,
			api.Stall{Resource: "cpu", From: at(span[0]), To: at(span[1]), Share: 0.03},
			api.Stall{Resource: "io", From: at(span[0]), To: at(span[1]), Share: 0.41})
	}
	near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-6 && b-a < 1e-6 })
	if diff := cmp.Diff(want, got, near); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := Stalls(briefTask()); got != nil {
		t.Errorf("a task of 6 ms has stalled: %v", got)
	}
}

func TestExplain(t *testing.T) {
	used := func(limit, peak *uint64, kills, forks uint64) api.StepUsage {
		return api.StepUsage{ResourceUsage: api.ResourceUsage{
			Samples: []api.Sample{{
				MemoryStat: &api.MemoryStat{Peak: peak, OomKillEvents: &kills},
				PIDsStat:   &api.PIDsStat{MaxEvents: &forks},
			}},
			Limits: &api.UsageLimits{MemoryBytes: limit, PIDs: pointer[uint64](100)},
		}}
	}
	gigabyte := pointer[uint64](1 << 30)
	small := pointer[uint64](100 << 20)
	for _, test := range []struct {
		name   string
		ending Ending
		want   string
	}{
		{"succeeded", Ending{}, ""},
		{"failed", Ending{ExitStatus: 1, Usage: used(gigabyte, small, 0, 0)}, ""},
		{"own limit", Ending{ExitStatus: 137, Usage: used(gigabyte, gigabyte, 1, 0)},
			"the task was killed for memory: it reached its limit of 1 GB (peak 1 GB); raise container_limits.memory in the task's file or the server's --default-task-memory-limit"},
		{"own limit, seen by the runtime alone", Ending{ExitStatus: 137, OOMKilled: true},
			"the task was killed for memory: it has no limit of its own, so its worker ran out of memory (peak n/a (not sampled)); set container_limits.memory in the task's file, or run it on a larger worker"},
		{"a child, task went on", Ending{Usage: used(gigabyte, gigabyte, 1, 0)},
			"a process of the task was killed for memory: it reached its limit of 1 GB (peak 1 GB); raise container_limits.memory in the task's file or the server's --default-task-memory-limit"},
		{"children", Ending{ExitStatus: 2, Usage: used(gigabyte, gigabyte, 3, 0)},
			"3 processes of the task were killed for memory: it reached its limit of 1 GB (peak 1 GB); raise container_limits.memory in the task's file or the server's --default-task-memory-limit"},
		{"the machine's memory", Ending{ExitStatus: 137, Usage: used(gigabyte, small, 1, 0)},
			"the task was killed for memory: it stayed below its limit of 1 GB (peak 100 MB), so its worker ran out of memory; run it on a larger worker"},
		{"no limit", Ending{ExitStatus: 137, Usage: used(nil, small, 1, 0)},
			"the task was killed for memory: it has no limit of its own, so its worker ran out of memory (peak 100 MB); set container_limits.memory in the task's file, or run it on a larger worker"},
		{"disk", Ending{ExitStatus: 137, DiskUsed: 3 << 29, DiskLimit: 1 << 30},
			"the task was killed for disk space: its container had 1.5 GB on the disk, more than its limit of 1 GB; raise container_limits.disk in the task's file or the server's --default-task-disk-limit"},
		{"disk, by a quota", Ending{ExitStatus: 1, DiskUsed: 1 << 30, DiskLimit: 1 << 30},
			"the task could not write any more: its container had 1 GB on the disk, and its limit is 1 GB; raise container_limits.disk in the task's file or the server's --default-task-disk-limit"},
		{"disk, but it went on", Ending{DiskUsed: 1 << 30, DiskLimit: 1 << 30}, ""},
		{"timeout", Ending{ExitStatus: 143, Timeout: 10 * time.Minute},
			"the task was killed because its timeout of 10m0s ran out; give the step a longer timeout"},
		{"timeout, no signal", Ending{ExitStatus: 3, Timeout: 10 * time.Minute}, ""},
		{"abort", Ending{ExitStatus: 137, Aborted: true, AbortedBy: "alice"}, "the task was killed because alice aborted the build"},
		{"abort by nobody known", Ending{ExitStatus: 143, Aborted: true}, "the task was killed because somebody aborted the build"},
		{"killed by itself", Ending{ExitStatus: 137, Usage: used(gigabyte, small, 0, 0)},
			"the task was killed by a SIGKILL that neither a limit (memory peak 100 MB of 1 GB), nor a timeout, nor an abort has sent: look for it in the task itself or with the worker's administrator"},
		{"terminated by itself", Ending{ExitStatus: 143},
			"the task was killed by a SIGTERM that neither a limit, nor a timeout, nor an abort has sent: look for it in the task itself or with the worker's administrator"},
		{"too many processes", Ending{ExitStatus: 2, Usage: used(gigabyte, small, 0, 7)},
			"the task could not start a process 7 times: it was at its limit of 100 processes; raise the server's --default-task-pids-limit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.ending.Explain(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestFormat(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1 kB", 1536: "1.5 kB", 10189: "10 kB", 1048000: "1023 kB", 1048570: "1 MB",
		612 << 20: "612 MB", 1 << 30: "1 GB", 18446744073709551615: "16 EB",
	} {
		if got := formatBytes(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0 ms", 53 * time.Millisecond: "53 ms", 100 * time.Millisecond: "0.1 s", 75 * time.Second: "75.0 s", 2 * time.Hour: "2h0m0s",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is %q, want %q", time.Duration(d), got, want)
		}
	}
}
