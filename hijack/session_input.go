package hijack

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
)

// sessionInput gives the process the input of all clients, one after the other.
//
// A client counts the bytes it sends, the process those it gets from all. The two
// differ by a number that stays the same while one client writes; that number is
// on record before the first byte of another client is. So a server that comes
// back knows, from what the process has, what of each client's input is in it.
type sessionInput struct {
	session *Session

	mu sync.Mutex // held while the process takes input
	// received is how many bytes the process has, at the least; exact tells that it is no more.
	received atomic.Int64
	exact    bool
}

// inputState is the part of it that outlives a server.
type inputState struct {
	// Writer is the client that wrote last. Its byte number Base is the process's number Start.
	Writer string `json:"writer"`
	Base   int64  `json:"base"`
	Start  int64  `json:"start"`
	// Taken has how many bytes the process has of each other client.
	Taken map[string]int64 `json:"taken,omitempty"`
}

func (in *sessionInput) init(session *Session) {
	in.session = session
	in.received.Store(session.record.Input.Start)
}

// taken says how many bytes of a client's input the process has, at the least:
// while a write is under way it may be more.
func (in *sessionInput) taken(client string) int64 {
	in.session.mu.Lock()
	defer in.session.mu.Unlock()
	state := in.session.record.Input
	if state.Writer != client {
		return state.Taken[client]
	}
	return state.Base + in.received.Load() - state.Start
}

// write gives the process a client's input, and says how many bytes of that
// client's it has now. Offset is the number of bytes of the client before data; what the
// process has already is passed over. It waits until the process takes them.
func (in *sessionInput) write(ctx context.Context, client string, offset int64, data []byte) (int64, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	state := &in.session.record.Input
	if state.Writer != client {
		if err := in.handOver(ctx, client); err != nil {
			return 0, err
		}
	}
	if passed := state.Base - offset; passed > 0 {
		data = data[min(passed, int64(len(data))):]
		offset = state.Base
	}
	in.exact = false
	received, err := in.session.process.Write(ctx, state.Start+offset-state.Base, data)
	if err != nil {
		return 0, err
	}
	in.received.Store(received)
	in.exact = true
	return state.Base + received - state.Start, nil
}

// handOver makes client the one that writes.
func (in *sessionInput) handOver(ctx context.Context, client string) error {
	if !in.exact {
		// No bytes at an offset that has arrived: it gives how many have.
		received, err := in.session.process.Write(ctx, 0, nil)
		if err != nil {
			return err
		}
		in.received.Store(received)
		in.exact = true
	}
	in.session.mu.Lock()
	state := &in.session.record.Input
	taken := maps.Clone(state.Taken)
	if taken == nil {
		taken = map[string]int64{}
	}
	received := in.received.Load()
	taken[state.Writer] = state.Base + received - state.Start
	*state = inputState{Writer: client, Base: taken[client], Start: received, Taken: taken}
	in.session.mu.Unlock()
	return in.session.saveRecord()
}
