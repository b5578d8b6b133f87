//go:build linux

package usage

import (
	"os"
	"path/filepath"
	"testing"

	"midge/api"
)

// testdata reads a file that was copied from a real machine.
func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// parsers are all parsers of the kernel's files, by the name of a file in testdata.
var parsers = map[string]func(data []byte) error{
	"v2/cpu.stat":           intoSample(parseCPUStat),
	"v2/cpu.max":            intoLimits(parseCPUMax),
	"v2/memory.stat":        intoSample(parseMemoryStat),
	"v2/memory.events":      intoSample(parseMemoryEvents),
	"v2/memory.peak":        intoSample(parseMemoryPeak),
	"v2/memory.max":         func(data []byte) error { _, err := parseLimit(data); return err },
	"v2/io.stat":            intoSample(parseIOStat),
	"v2/pids.events":        intoSample(parsePIDsEvents),
	"v2/io.pressure":        func(data []byte) error { _, err := parsePressure(data); return err },
	"v1/cpu.stat":           intoSample(parseV1CPUStat),
	"v1/cpu.cfs_quota_us":   intoLimits(func(data []byte, l *api.UsageLimits) error { return parseV1CPUQuota(data, []byte("100000"), l) }),
	"v1/memory.stat":        intoSample(parseV1MemoryStat),
	"v1/memory.oom_control": intoSample(parseOOMControl),
	"v1/blkio.throttle.io_service_bytes_recursive": intoSample(parseV1IOBytes),
	"v1/blkio.throttle.io_serviced_recursive":      intoSample(parseV1IOOperations),
	"proc/42/net/dev": intoSample(parseNetDev),
	"proc/42/io":      func(data []byte) error { _, _, err := parseProcessIO(data); return err },
	"proc/42/cgroup":  func(data []byte) error { _, err := parseMemberships(data); return err },
	"proc/mountinfo":  func(data []byte) error { _, err := parseHierarchies(data); return err },
	"proc/stat":       func(data []byte) error { return parseStat(data, new(api.SysSample)) },
	"proc/meminfo":    func(data []byte) error { _, err := parseMeminfo(data); return err },
}

func intoSample(parse func([]byte, *api.Sample) error) func([]byte) error {
	return func(data []byte) error { return parse(data, new(api.Sample)) }
}

func intoLimits(parse func([]byte, *api.UsageLimits) error) func([]byte) error {
	return func(data []byte) error { return parse(data, new(api.UsageLimits)) }
}

func TestParsersRefuseWhatIsNotTheirs(t *testing.T) {
	for name, parse := range parsers {
		t.Run(name, func(t *testing.T) {
			if err := parse(testdata(t, name)); err != nil {
				t.Fatalf("the real file is refused: %v", err)
			}
			for _, bad := range badInputs[name] {
				if err := parse([]byte(bad)); err == nil {
					t.Errorf("%q is taken", bad)
				}
			}
			if len(badInputs[name]) == 0 {
				t.Error("there is no bad input for it")
			}
		})
	}
}

var badInputs = map[string][]string{
	"v2/cpu.stat":           {"usage_usec -1\n", "usage_usec\n", "usage_usec 1 2\n"},
	"v2/cpu.max":            {"", "max\n", "x 100000\n", "1 x\n", "1000 0\n"},
	"v2/memory.stat":        {"anon x\n", "anon 18446744073709551616\n"},
	"v2/memory.events":      {"oom_kill \n"},
	"v2/memory.peak":        {"", "max\n", "1 2\n"},
	"v2/memory.max":         {"", "-1\n", "none\n"},
	"v2/io.stat":            {"259:0 rbytes\n", "259:0 rbytes=x\n"},
	"v2/pids.events":        {"max x\n"},
	"v2/io.pressure":        {"some avg10\n", "some avg10=NaN\n", "some avg10=101\n", "full avg60=x\n", "some avg300=-1\n", "full total=-5\n"},
	"v1/cpu.stat":           {"throttled_time 1.5\n"},
	"v1/cpu.cfs_quota_us":   {"", "max\n"},
	"v1/memory.stat":        {"total_rss x\n"},
	"v1/memory.oom_control": {"oom_kill ?\n"},
	"v1/blkio.throttle.io_service_bytes_recursive": {"254:0 Read\n", "254:0 Read x\n", "254:0\n"},
	"v1/blkio.throttle.io_serviced_recursive":      {"254:0 Write 1 2\n"},
	"proc/42/net/dev": {"eth0: 1 2 3\n", "eth0: a 0 0 0 0 0 0 0 0 0 0 0\n"},
	"proc/42/io":      {"", "read_bytes: 1\n", "read_bytes: x\nwrite_bytes: 1\n"},
	"proc/42/cgroup":  {"0::\n", "0:/a\n", "4:memory:a\n"},
	"proc/mountinfo":  {"31 23 0:26 / /sys\n", "31 23 0:26 / /sys rw - cgroup\n"},
	"proc/stat":       {"cpu 1 2\n", "cpu 1 2 3 x\n", "ctxt x\n"},
	"proc/meminfo":    {"MemTotal: 12\n", "MemTotal: x kB\n"},
}

func FuzzParsers(f *testing.F) {
	for name := range parsers {
		f.Add(name, testdata(f, name))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if parse := parsers[name]; parse != nil {
			_ = parse(data) // It must not panic.
		}
	})
}

func TestFileGrowsItsBuffer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "long")
	want := make([]byte, 70_000)
	for i := range want {
		want[i] = byte('a' + i%26)
	}
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := openFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 2 {
		got, err := file.read()
		if err != nil || string(got) != string(want) {
			t.Fatalf("read gives %d bytes, %v; want %d", len(got), err, len(want))
		}
	}
}
