package eventlog

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
)

// follow reads to the end and checks that the events are those numbered from on,
// without a gap.
func follow(ctx context.Context, log *Log, from int64) (last int64, err error) {
	r := log.From(from)
	next := from
	for {
		events, err := r.Next(ctx)
		if err == io.EOF {
			return next, nil
		}
		if err != nil {
			return next, err
		}
		for _, e := range events {
			if e.ID != next || !strings.HasPrefix(string(e.Data), fmt.Sprintf(`{"payload":"line %d\n`, next)) {
				return next, fmt.Errorf("event %d is %d: %.40s", next, e.ID, e.Data)
			}
			next++
		}
	}
}

func TestFollowersWhileItIsWritten(t *testing.T) {
	const followers, n = 50, 1500
	log := open(t, newStore(t.TempDir()))
	var group sync.WaitGroup
	for i := range followers {
		group.Go(func() {
			if last, err := follow(t.Context(), log, int64(i)); err != nil || last != n {
				t.Errorf("a follower came to %d: %v", last, err)
			}
		})
	}
	padding := strings.Repeat("x", 4<<10)
	for i := range n {
		e := event(i)
		e.Data = fmt.Appendf(nil, `{"payload":"line %d\n%s"}`, i, padding)
		if i == n-1 {
			finish(t, log, e)
		} else {
			add(t, log, e)
		}
	}
	group.Wait()
}

func TestWritersTakeTurns(t *testing.T) {
	const writers, n = 8, 200
	dir := t.TempDir()
	log := open(t, newStore(dir))
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range n {
				_, err := log.Append(Event{Kind: "log", Data: fmt.Appendf(nil, `%d`, i), Marks: []Mark{{fmt.Sprint(w), int64(i)}}})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	finish(t, log, event(0))
	for _, log := range []*Log{log, reopen(t, dir)} {
		if got := len(readAll(t, log, 0)); got != writers*n+1 {
			t.Errorf("%d events", got)
		}
		for w := range writers {
			if value, _ := log.Mark(fmt.Sprint(w)); value != n-1 {
				t.Errorf("the mark of writer %d is %d", w, value)
			}
		}
	}
}

func TestASlowFollowerHoldsNobodyUp(t *testing.T) {
	log := open(t, newStore(t.TempDir()))
	slow := log.From(0)
	add(t, log, event(0))
	first := read(t, slow, 1)
	quick := log.From(1)
	n := 1 + 2*tailEvents
	for i := 1; i < n; i++ {
		add(t, log, event(i))
		if got := read(t, quick, 1); got[0] != string(event(i).Data) {
			t.Fatalf("event %d is %s", i, got[0])
		}
	}
	if got := append(first, read(t, slow, n-1)...); !slices.Equal(got, want(0, n)) {
		t.Error("the slow follower got something else")
	}
}

func TestTheTailIsBounded(t *testing.T) {
	log := open(t, newStore(t.TempDir()))
	fill(t, log)
	if log.bytes > tailBytes || len(log.tail) > tailEvents {
		t.Errorf("%d events of %d bytes are in memory", len(log.tail), log.bytes)
	}
}

func TestAnEventLargerThanWhatIsReadAtOnce(t *testing.T) {
	dir := t.TempDir()
	log := open(t, newStore(dir))
	e := event(0)
	e.Data = fmt.Appendf(nil, "%q", strings.Repeat("x", 10*readBytes))
	add(t, log, e, event(1))
	finish(t, log, event(2))
	got := readAll(t, reopen(t, dir), 0)
	if len(got) != 3 || got[0] != string(e.Data) || got[2] != string(event(2).Data) {
		t.Errorf("got %d events", len(got))
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	log := open(t, newStore(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := log.From(0).Next(ctx)
		done <- err
	}()
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

func TestAllSeeOneLogUntilTheLastHasClosedIt(t *testing.T) {
	store := newStore(t.TempDir())
	a, b := open(t, store), open(t, store)
	add(t, a, event(0))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	add(t, b, event(1))
	c := open(t, store)
	finish(t, b, event(2))
	if got := readAll(t, c, 0); !slices.Equal(got, want(0, 3)) {
		t.Errorf("got %q", got)
	}
	for _, log := range []*Log{a, b, c} {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(store.open) != 0 {
		t.Error("the store still has it open")
	}
}

func TestSyncWhileItIsWritten(t *testing.T) {
	dir := t.TempDir()
	log := open(t, newStore(dir))
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			if err := log.Sync(); err != nil {
				t.Error(err)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	n := fill(t, log)
	close(stop)
	group.Wait()
	if err := log.Sync(); err != nil {
		t.Error(err)
	}
	if log.dirty || log.created {
		t.Error("something is not synced")
	}
	finish(t, log, event(n))
	if got := readAll(t, reopen(t, dir), 0); len(got) != n+1 {
		t.Errorf("%d of %d events are there", len(got), n+1)
	}
}

// BenchmarkMillionLines is the log's part of a task that prints a million lines.
func BenchmarkMillionLines(b *testing.B) {
	var lines strings.Builder
	for i := 1; lines.Len() < 32<<10; i++ {
		fmt.Fprintf(&lines, "%d\r\n", i)
	}
	data := fmt.Appendf(nil, `{"payload":%q}`, lines.String())
	for b.Loop() {
		log, err := NewStore(b.TempDir()).Open(1)
		if err != nil {
			b.Fatal(err)
		}
		done := make(chan int)
		go func() {
			r, total := log.From(0), 0
			for {
				events, err := r.Next(context.Background())
				if err != nil {
					done <- total
					return
				}
				for _, e := range events {
					total += len(e.Data)
				}
			}
		}()
		for written := 0; written < 8<<20; written += lines.Len() {
			if _, err := log.Append(Event{Kind: "log", Version: "5.1", Data: data}); err != nil {
				b.Fatal(err)
			}
		}
		if err := log.Finish(Event{Kind: "status", Data: []byte("{}")}, func() error { return nil }); err != nil {
			b.Fatal(err)
		}
		<-done
		if err := log.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
