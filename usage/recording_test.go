package usage

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sinceStart samples the time, in seconds since the recording began.
func sinceStart() func(context.Context, bool) (int, error) {
	start := time.Now()
	return func(context.Context, bool) (int, error) { return int(time.Since(start).Seconds()), nil }
}

func TestRecordingThinsOut(t *testing.T) {
	for _, test := range []struct {
		name string
		runs time.Duration
		most int
		want []int
	}{
		{"shorter than a sample", time.Second, 10, []int{1}},
		{"first one", 3 * time.Second, 10, []int{2, 3}},
		{"further and further apart", 60 * time.Second, 10, []int{2, 6, 14, 30, 60}},
		{"one below the bound", 1023 * time.Second, 10, []int{2, 6, 14, 30, 62, 126, 254, 510, 1022, 1023}},
		{"thinned out", 3000 * time.Second, 10, []int{6, 30, 126, 510, 2046, 3000}},
		{"a week", 7 * 24 * time.Hour, 10, []int{30, 510, 4094, 16382, 65534, 131070, 262142, 524286, 604800}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				recording := Record(t.Context(), test.most, sinceStart())
				time.Sleep(test.runs)
				synctest.Wait()
				got, err := recording.Finish()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				again, err := recording.Finish()
				if diff := cmp.Diff(got, again); diff != "" || err != nil {
					t.Errorf("Finish gives something else the second time: %v\n%s", err, diff)
				}
			})
		})
	}
}

func TestRecordingIsNeverLongerThanAsked(t *testing.T) {
	for most := 2; most <= SystemSamples; most++ {
		synctest.Test(t, func(t *testing.T) {
			for seconds := range 200 {
				recording := Record(t.Context(), most, sinceStart())
				time.Sleep(time.Duration(seconds) * time.Second)
				if got, _ := recording.Finish(); len(got) > most {
					t.Fatalf("after %d s there are %d samples, want at most %d", seconds, len(got), most)
				}
			}
		})
	}
}

func TestRecordingEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("the server stops")
		ctx, cancel := context.WithCancelCause(t.Context())
		recording := Record(ctx, 10, sinceStart())
		time.Sleep(7 * time.Second)
		cancel(cause)
		synctest.Wait() // The goroutine has ended, or the bubble would not end.
		got, err := recording.Finish()
		if !errors.Is(err, cause) {
			t.Errorf("Finish gives the error %v, want %v", err, cause)
		}
		if diff := cmp.Diff([]int{2, 6}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestRecordingLeavesOutWhatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no such device")
		n := 0
		recording := Record(t.Context(), 10, func(context.Context, bool) (int, error) {
			if n++; n != 2 {
				return 0, broken
			}
			return n, nil
		})
		time.Sleep(7 * time.Second)
		got, err := recording.Finish()
		if !errors.Is(err, broken) {
			t.Errorf("Finish gives the error %v, want that of the last sample", err)
		}
		if diff := cmp.Diff([]int{2}, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestThin(t *testing.T) {
	for n := range 200 {
		samples := make([]int, n)
		for i := range samples {
			samples[i] = i
		}
		got := Thin(samples, 20)
		if len(got) > 20 || n > 20 && len(got) < 10 || n <= 20 && len(got) != n {
			t.Errorf("of %d samples %d stay", n, len(got))
		}
		if n > 0 && got[len(got)-1] != n-1 {
			t.Errorf("of %d samples the last that stays is %d", n, got[len(got)-1])
		}
		if !slices.IsSorted(got) {
			t.Errorf("of %d samples there stay %v", n, got)
		}
	}
}
