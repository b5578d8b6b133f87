package pod

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// clockHeader of an answer says what the time was when it was begun, by the pod's node: in
// nanoseconds since 1970.
const clockHeader = "Midge-Time"

// withTime has all answers of a handler say what the time is.
func withTime(handler http.Handler, now func() time.Time) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(clockHeader, strconv.FormatInt(now().UnixNano(), 10))
		handler.ServeHTTP(w, r)
	})
}

// A clock is what is known of how the clock of a pod's node differs from this machine's. An
// answer was begun after its request was made and before it came, by either clock: so each
// bounds what is to be added to the node's. Its zero value knows nothing.
type clock struct {
	mu          sync.Mutex
	known       bool
	least, most time.Duration
}

// note takes down what an answer tells that was asked for and came at those moments.
func (c *clock) note(asked, came time.Time, answer http.Header) {
	nanoseconds, err := strconv.ParseInt(answer.Get(clockHeader), 10, 64)
	if err != nil {
		return // from a midge-agent that does not say
	}
	at := time.Unix(0, nanoseconds)
	least, most := asked.Round(0).Sub(at), came.Round(0).Sub(at)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known && max(c.least, least) <= min(c.most, most) {
		least, most = max(c.least, least), min(c.most, most)
	} // else one of the clocks was set meanwhile
	c.known, c.least, c.most = true, least, most
}

// ahead gives by how much this machine's clock is ahead of the node's: 0 where both may
// agree, and where nothing is known.
func (c *clock) ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.least <= 0 && c.most >= 0 {
		return 0
	}
	return c.least + (c.most-c.least)/2
}
