//go:build linux

package usage

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"midge/api"
)

func TestSamplesOfRealFiles(t *testing.T) {
	for _, test := range []struct {
		name  string
		file  string
		parse func([]byte, *api.Sample) error
		want  api.Sample
	}{
		{"cpu v2", "v2/cpu.stat", parseCPUStat, api.Sample{CPUStat: &api.CPUStat{
			UsageNanos: pointer[uint64](15735554000), UserNanos: pointer[uint64](6022070000), SystemNanos: pointer[uint64](9713483000),
			NrPeriods: pointer[uint64](1180), NrThrottled: pointer[uint64](957), ThrottledNanos: pointer[uint64](46257707000),
		}}},
		{"cpu v1", "v1/cpu.stat", parseV1CPUStat, api.Sample{CPUStat: &api.CPUStat{
			NrPeriods: pointer[uint64](11), NrThrottled: pointer[uint64](8), ThrottledNanos: pointer[uint64](394199754),
		}}},
		{"memory v2", "v2/memory.stat", parseMemoryStat, api.Sample{MemoryStat: &api.MemoryStat{
			Anon: pointer[uint64](81920), File: pointer[uint64](98304), Kernel: pointer[uint64](102400), KernelStack: pointer[uint64](16384),
			PageTables: pointer[uint64](24576), Sock: pointer[uint64](0), Vmalloc: pointer[uint64](0), Shmem: pointer[uint64](0),
			FileMapped: pointer[uint64](0), FileDirty: pointer[uint64](8192), FileWriteback: pointer[uint64](0), Slab: pointer[uint64](34040),
			Pgscan: pointer[uint64](0), Pgsteal: pointer[uint64](0), Pgfault: pointer[uint64](434), Pgmajfault: pointer[uint64](0),
		}}},
		{"memory v1", "v1/memory.stat", parseV1MemoryStat, api.Sample{MemoryStat: &api.MemoryStat{
			Anon: pointer[uint64](172032), File: pointer[uint64](409600), Shmem: pointer[uint64](0), SwapBytes: pointer[uint64](0),
			FileMapped: pointer[uint64](8192), FileDirty: pointer[uint64](45056), FileWriteback: pointer[uint64](0),
			Pgfault: pointer[uint64](1509), Pgmajfault: pointer[uint64](2),
		}}},
		{"memory events v2", "v2/memory.events", parseMemoryEvents, api.Sample{MemoryStat: &api.MemoryStat{
			LowEvents: pointer[uint64](0), HighEvents: pointer[uint64](0), MaxEvents: pointer[uint64](0),
			OomEvents: pointer[uint64](0), OomKillEvents: pointer[uint64](0),
		}}},
		{"oom kills v1", "v1/memory.oom_control", parseOOMControl, api.Sample{MemoryStat: &api.MemoryStat{OomKillEvents: pointer[uint64](0)}}},
		{"io v2", "v2/io.stat", parseIOStat, api.Sample{IOStat: &api.IOStat{
			ReadBytes: pointer[uint64](19665920), WriteBytes: pointer[uint64](19660800), DiscardBytes: pointer[uint64](221406208),
			ReadIOs: pointer[uint64](155), WriteIOs: pointer[uint64](39), DiscardIOs: pointer[uint64](29),
		}}},
		{"io bytes v1", "v1/blkio.throttle.io_service_bytes_recursive", parseV1IOBytes, api.Sample{IOStat: &api.IOStat{
			ReadBytes: pointer[uint64](67489792), WriteBytes: pointer[uint64](67108864), DiscardBytes: pointer[uint64](0),
		}}},
		{"io operations v1", "v1/blkio.throttle.io_serviced_recursive", parseV1IOOperations, api.Sample{IOStat: &api.IOStat{
			ReadIOs: pointer[uint64](201), WriteIOs: pointer[uint64](128), DiscardIOs: pointer[uint64](0),
		}}},
		{"pids events", "v1/pids.events", parsePIDsEvents, api.Sample{PIDsStat: &api.PIDsStat{MaxEvents: pointer[uint64](0)}}},
		{"network", "proc/42/net/dev", parseNetDev, api.Sample{NetStat: &api.NetStat{
			RxBytes: pointer[uint64](295025189), RxPackets: pointer[uint64](17850), RxErrors: pointer[uint64](0), RxDropped: pointer[uint64](0),
			TxBytes: pointer[uint64](1815379), TxPackets: pointer[uint64](15958), TxErrors: pointer[uint64](0), TxDropped: pointer[uint64](0),
		}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got api.Sample
			if err := test.parse(testdata(t, test.file), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestIOOfSeveralDevicesIsSummedUp(t *testing.T) {
	const file = "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n" +
		"259:0 rbytes=10 wbytes=20 rios=30 wios=40 dbytes=50 dios=60 cost.usage=7\n"
	var got api.Sample
	if err := parseIOStat([]byte(file), &got); err != nil {
		t.Fatal(err)
	}
	want := &api.IOStat{
		ReadBytes: pointer[uint64](11), WriteBytes: pointer[uint64](22), DiscardBytes: pointer[uint64](55),
		ReadIOs: pointer[uint64](33), WriteIOs: pointer[uint64](44), DiscardIOs: pointer[uint64](66),
	}
	if diff := cmp.Diff(want, got.IOStat); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A v2 group that has read nothing has an empty file; a v1 group whose device is
// not counted has a total alone. The first is a 0, the second is not known.
func TestNoIOIsNotUnknownIO(t *testing.T) {
	var unified, old api.Sample
	if err := parseIOStat(nil, &unified); err != nil {
		t.Fatal(err)
	}
	if got := unified.IOStat.ReadBytes; got == nil || *got != 0 {
		t.Errorf("an empty io.stat gives read bytes %v, want 0", got)
	}
	if err := parseV1IOBytes([]byte("Total 0\n"), &old); err != nil {
		t.Fatal(err)
	}
	if got := old.IOStat.ReadBytes; got != nil {
		t.Errorf("a total alone gives read bytes %d, want none", *got)
	}
}

func TestPressureOfRealFiles(t *testing.T) {
	for _, test := range []struct {
		name, file string
		want       api.Pressure
	}{
		{"group", string(testdata(t, "v2/io.pressure")), api.Pressure{
			Some: &api.PressureValues{Avg10: pointer(4.14), Avg60: pointer(3.35), Avg300: pointer(0.88), Total: pointer[uint64](2367756)},
			Full: &api.PressureValues{Avg10: pointer(4.14), Avg60: pointer(3.35), Avg300: pointer(0.88), Total: pointer[uint64](2367756)},
		}},
		{"cpu before 5.13", "some avg10=0.12 avg60=0.00 avg300=0.00 total=9\n", api.Pressure{
			Some: &api.PressureValues{Avg10: pointer(0.12), Avg60: pointer(0.0), Avg300: pointer(0.0), Total: pointer[uint64](9)},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parsePressure([]byte(test.file))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for _, test := range []struct {
		name  string
		parse func(*api.UsageLimits) error
		want  api.UsageLimits
	}{
		{"cpu v2", func(l *api.UsageLimits) error { return parseCPUMax(testdata(t, "v2/cpu.max"), l) }, api.UsageLimits{CPUs: pointer(0.5)}},
		{"no cpu v2", func(l *api.UsageLimits) error { return parseCPUMax([]byte("max 100000\n"), l) }, api.UsageLimits{}},
		{"cpu v1", func(l *api.UsageLimits) error {
			return parseV1CPUQuota(testdata(t, "v1/cpu.cfs_quota_us"), testdata(t, "v1/cpu.cfs_period_us"), l)
		}, api.UsageLimits{CPUs: pointer(0.5)}},
		{"no cpu v1", func(l *api.UsageLimits) error { return parseV1CPUQuota([]byte("-1\n"), []byte("100000\n"), l) }, api.UsageLimits{}},
		{"memory", func(l *api.UsageLimits) (err error) {
			l.MemoryBytes, err = parseLimit(testdata(t, "v2/memory.max"))
			return err
		}, api.UsageLimits{MemoryBytes: pointer[uint64](268435456)}},
		{"no memory v2", func(l *api.UsageLimits) (err error) { l.MemoryBytes, err = parseLimit([]byte("max\n")); return err }, api.UsageLimits{}},
		{"no memory v1", func(l *api.UsageLimits) (err error) {
			l.MemoryBytes, err = parseLimit([]byte("9223372036854771712\n"))
			return err
		}, api.UsageLimits{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got api.UsageLimits
			if err := test.parse(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
