package agent

import (
	"testing"
	"time"
)

func TestWhenToCountTheDisk(t *testing.T) {
	const gigabyte = 1 << 30
	counted := time.Unix(1000, 0)
	// A container that had 2 of its 10 GB when 50 GB of the disk were taken.
	count := diskCount{allowed: 10 * gigabyte, used: 2 * gigabyte, taken: 50 * gigabyte, at: counted, took: 100 * time.Millisecond}
	over := count
	over.used = 11 * gigabyte
	tests := []struct {
		name  string
		count diskCount
		after time.Duration
		taken uint64
		want  bool
	}{
		{"never before", diskCount{allowed: gigabyte}, 0, 0, true},
		{"nothing has changed", count, time.Hour, 50 * gigabyte, false},
		{"too soon after a count", count, time.Second, 60 * gigabyte, false},
		{"it cannot be over its limit yet", count, 3 * time.Second, 53 * gigabyte, false},
		{"it may be near its limit", count, 3 * time.Second, 55 * gigabyte, true},
		{"others have freed some", count, 3 * time.Second, 40 * gigabyte, false},
		{"others may have freed what it took", count, 30 * time.Second, 40 * gigabyte, true},
		{"it was over its limit", over, 3 * time.Second, 49 * gigabyte, true},
	}
	for _, test := range tests {
		if got := test.count.due(counted.Add(test.after), test.taken); got != test.want {
			t.Errorf("%s: it is counted: %t", test.name, got)
		}
	}
}

func TestACountPausesForAsLongAsItTook(t *testing.T) {
	count := diskCount{allowed: 1000}
	began := time.Unix(1000, 0)
	ended := began.Add(10 * time.Second)
	count.counted(began, ended, 500, 100)
	if count.due(ended.Add(199*time.Second), 5000) || !count.due(ended.Add(200*time.Second), 5000) {
		t.Error("a count of 10 s is not followed by a pause of 200 s")
	}
}

func TestWhoLooksIntoAFullContainerIsLet(t *testing.T) {
	count := diskCount{allowed: 800}
	count.leave(1000)
	if count.allowed != 1100 {
		t.Errorf("it is let have %d bytes", count.allowed)
	}
	count.leave(1050)
	if count.allowed != 1100 {
		t.Errorf("then it is let have %d bytes", count.allowed)
	}
}
