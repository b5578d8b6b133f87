package eventlog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testBuild = 12

func open(t *testing.T, store *Store) *Log {
	t.Helper()
	log, err := store.Open(testBuild)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

// reopen gives the log as a new process finds it.
func reopen(t *testing.T, dir string) *Log { return open(t, newStore(dir)) }

// newStore gives a store of small segments.
func newStore(dir string) *Store {
	store := NewStore(dir)
	store.segmentSize = 256 << 10
	return store
}

func event(i int) Event {
	return Event{
		Kind:    "log",
		Version: "5.1",
		Data:    fmt.Appendf(nil, `{"payload":"line %d\n"}`, i),
		Marks:   []Mark{{Name: fmt.Sprintf("task %d", i%3), Value: int64(i)}},
	}
}

func add(t *testing.T, log *Log, events ...Event) {
	t.Helper()
	if _, err := log.Append(events...); err != nil {
		t.Fatal(err)
	}
}

// read gives the data of n events.
func read(t *testing.T, r *Reader, n int) []string {
	t.Helper()
	var data []string
	for len(data) < n {
		events, err := r.Next(t.Context())
		if err != nil {
			t.Fatalf("after %d events: %v", len(data), err)
		}
		for _, e := range events {
			data = append(data, string(e.Data))
		}
	}
	return data
}

// readAll gives the data of all events up to the end of a log that has ended.
func readAll(t *testing.T, log *Log, from int64) []string {
	t.Helper()
	var data []string
	r := log.From(from)
	for {
		events, err := r.Next(t.Context())
		if err == io.EOF {
			return data
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if want := from + int64(len(data)); e.ID != want {
				t.Fatalf("event %d has the number %d", want, e.ID)
			}
			data = append(data, string(e.Data))
		}
	}
}

func want(from, to int) []string {
	var data []string
	for i := from; i < to; i++ {
		data = append(data, string(event(i).Data))
	}
	return data
}

func finish(t *testing.T, log *Log, e Event) {
	t.Helper()
	if err := log.Finish(e, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestReadsFromAnyPosition(t *testing.T) {
	dir := t.TempDir()
	log := open(t, newStore(dir))
	const n = 40
	for i := range n - 1 {
		add(t, log, event(i))
	}
	finish(t, log, event(n-1))
	for _, log := range []*Log{log, reopen(t, dir)} {
		for from := range n + 3 {
			if got := readAll(t, log, int64(from)); !slices.Equal(got, want(from, n)) {
				t.Errorf("from %d: got %q", from, got)
			}
		}
		if log.Next() != n || !log.Ended() {
			t.Errorf("next %d, ended %v", log.Next(), log.Ended())
		}
	}
}

func TestKindVersionAndMarkAreKept(t *testing.T) {
	dir := t.TempDir()
	log := open(t, newStore(dir))
	add(t, log, event(0), event(1), event(2), event(3))
	again := reopen(t, dir)
	events, err := again.From(1).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := events[0]
	if got.Kind != "log" || got.Version != "5.1" || got.ID != 1 || !slices.Equal(got.Marks, []Mark{{"task 1", 1}}) {
		t.Errorf("got %+v", got)
	}
	for name, value := range map[string]int64{"task 0": 3, "task 1": 1, "task 2": 2} {
		if got, ok := again.Mark(name); got != value || !ok {
			t.Errorf("mark %q is %d, %v; want %d", name, got, ok, value)
		}
	}
	if _, ok := again.Mark("task 3"); ok {
		t.Error("a mark that nobody set is there")
	}
}

// fill appends events that make up several segments, and gives how many.
func fill(t *testing.T, log *Log) int {
	t.Helper()
	payload := strings.Repeat("x", 48<<10)
	n := 0
	for written := 0; int64(written) < 3*log.segmentSize; written += len(payload) {
		e := event(n)
		e.Data = fmt.Appendf(nil, `{"payload":"%d %s"}`, n, payload)
		add(t, log, e)
		n++
	}
	return n
}

func TestSegmentsAreOneLog(t *testing.T) {
	dir := t.TempDir()
	log := open(t, newStore(dir))
	n := fill(t, log)
	finish(t, log, event(n))
	if segments, _ := listSegments(filepath.Join(dir, "12")); len(segments) < 3 {
		t.Fatalf("only %d segments", len(segments))
	}
	for _, log := range []*Log{log, reopen(t, dir)} {
		for _, from := range []int{0, 1, n / 3, n / 2, n - 1, n, n + 1} {
			got := readAll(t, log, int64(from))
			if len(got) != max(n+1-from, 0) {
				t.Fatalf("from %d: got %d events", from, len(got))
			}
			for i, data := range got {
				if from+i < n && !strings.HasPrefix(data, fmt.Sprintf(`{"payload":"%d x`, from+i)) {
					t.Fatalf("event %d is %.30s", from+i, data)
				}
			}
		}
		if value, _ := log.Mark("task 1"); value == 0 {
			t.Error("the mark did not outlive its segment")
		}
	}
}

func TestAppendsAfterTheEnd(t *testing.T) {
	dir := t.TempDir()
	log := open(t, newStore(dir))
	finish(t, log, event(0))
	add(t, log, event(1))
	for _, log := range []*Log{log, reopen(t, dir)} {
		if got := readAll(t, log, 0); !slices.Equal(got, want(0, 2)) {
			t.Errorf("got %q", got)
		}
	}
}

func TestFinishThatCannotCommitAddsNothing(t *testing.T) {
	for _, before := range []int{0, 3} {
		t.Run(fmt.Sprintf("after %d events", before), func(t *testing.T) {
			dir := t.TempDir()
			log := open(t, newStore(dir))
			for i := range before {
				add(t, log, event(i))
			}
			refusal := errors.New("no")
			if err := log.Finish(event(before), func() error { return refusal }); !errors.Is(err, refusal) {
				t.Fatalf("got %v", err)
			}
			for _, log := range []*Log{log, reopen(t, dir)} {
				if log.Ended() || log.Next() != int64(before) {
					t.Errorf("next %d, ended %v", log.Next(), log.Ended())
				}
			}
			finish(t, log, event(before))
			if got := readAll(t, reopen(t, dir), 0); !slices.Equal(got, want(0, before+1)) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestFinishCommitsBeforeFollowersSee(t *testing.T) {
	log := open(t, newStore(t.TempDir()))
	err := log.Finish(event(0), func() error {
		if log.Next() != 0 || log.Ended() {
			return errors.New("it is seen already")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAppendThatFailsLeavesTheLogAsItWas(t *testing.T) {
	dir := t.TempDir()
	log := open(t, newStore(dir))
	add(t, log, event(0))
	long := event(1)
	long.Data = make([]byte, maxBody)
	if _, err := log.Append(event(1), long); err == nil {
		t.Fatal("an event that is too long was taken")
	}
	add(t, log, event(1))
	finish(t, log, event(2))
	if got := readAll(t, reopen(t, dir), 0); !slices.Equal(got, want(0, 3)) {
		t.Errorf("got %q", got)
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	store := NewStore(dir)
	log := open(t, store)
	add(t, log, event(0))
	reader := log.From(1)
	waited := make(chan error)
	go func() {
		_, err := reader.Next(t.Context())
		waited <- err
	}()
	if err := store.Remove(testBuild); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; !errors.Is(err, ErrRemoved) {
		t.Errorf("the follower got %v", err)
	}
	if _, err := log.Append(event(1)); !errors.Is(err, ErrRemoved) {
		t.Errorf("the writer got %v", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("there is still %v", entries)
	}
	if err := store.Remove(testBuild); err != nil {
		t.Errorf("removing it again: %v", err)
	}
	if again := open(t, store); again.Next() != 0 {
		t.Error("the log is there again")
	}
}

func TestRemoveLeavesWhatIsNotIts(t *testing.T) {
	dir := t.TempDir()
	store := NewStore(dir)
	add(t, open(t, store), event(0))
	other := filepath.Join(dir, "12", "usage.json")
	if err := os.WriteFile(other, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.Remove(testBuild); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(other)); len(entries) != 1 {
		t.Errorf("there is %v", entries)
	}
}

func TestEnvelope(t *testing.T) {
	e := event(4)
	e.ID = 4
	const want = `{"data":{"payload":"line 4\n"},"event":"log","version":"5.1","event_id":"4"}`
	if got := string(e.AppendEnvelope(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
