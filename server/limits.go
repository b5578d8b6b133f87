package server

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits bound what one user, or one team, may ask of the server; a field that is 0 is
// no bound. Who comes by the unix socket has none of a user, and none for requests.
type Limits struct {
	// Requests is how many may come a second, over a while; twice as many may at once.
	Requests int
	// Builds is how many may be unfinished. When many come at the same moment, some
	// more may be.
	Builds int
	// Upload is how many bytes may be uploaded in an hour. An upload that has begun
	// ends, whatever its size.
	Upload uint64
}

// limits keep users and teams within their Limits.
type limits struct {
	user, team Limits
	now        func() time.Time

	mu      sync.Mutex
	buckets map[string]*bucket // by kind and name; both are of the settings
}

// bucket holds what somebody may still take. It fills at a rate up to a size, and may
// be overdrawn.
type bucket struct {
	size, rate float64 // rate is a second's
	level      float64
	filled     time.Time
}

// fill brings the level to what it is at a time.
func (b *bucket) fill(now time.Time) {
	b.level = min(b.size, b.level+b.rate*now.Sub(b.filled).Seconds())
	b.filled = now
}

// take takes from the bucket of that name when it is not empty, and else says how long
// to wait. Without a rate there is no bound.
func (l *limits) take(name string, size, rate, amount float64) (wait time.Duration) {
	if rate == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	b := l.buckets[name]
	if b == nil {
		b = &bucket{size: size, rate: rate, level: size, filled: now}
		l.buckets[name] = b
	}
	b.fill(now)
	if b.level < min(amount, 1) {
		return time.Duration((1 - b.level) / rate * float64(time.Second))
	}
	b.level -= amount
	return 0
}

// requests counts a request of somebody.
func (l *limits) requests(kind, name string, limit Limits) time.Duration {
	return l.take(kind+" requests "+name, 2*float64(limit.Requests), float64(limit.Requests), 1)
}

// upload says how long somebody must wait who wants to upload.
func (l *limits) upload(kind, name string, limit Limits) time.Duration {
	return l.take(kind+" upload "+name, float64(limit.Upload), float64(limit.Upload)/time.Hour.Seconds(), 0.5)
}

// uploaded counts bytes that have come, however many were left.
func (l *limits) uploaded(kind, name string, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buckets[kind+" upload "+name]; b != nil {
		b.level -= float64(bytes)
	}
}

// tooMuch answers a request that is beyond a limit.
func tooMuch(w http.ResponseWriter, wait time.Duration, format string, args ...any) {
	seconds := max(1, int(math.Ceil(wait.Seconds())))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	fail(w, http.StatusTooManyRequests, "%s: try again in %d s", fmt.Sprintf(format, args...), seconds)
}

// withinRequests reports whether a user may send another request, and answers it when not.
func (s *Server) withinRequests(w http.ResponseWriter, who *identity) bool {
	if who.connector == connectorUnix {
		return true
	}
	wait := s.limits.requests("user", who.user(), s.limits.user)
	if wait > 0 {
		tooMuch(w, wait, "%s sends more than %d requests a second, which is the most this server takes", who.user(), s.limits.user.Requests)
	}
	return wait == 0
}

// withinTeamRequests is withinRequests for a team.
func (s *Server) withinTeamRequests(w http.ResponseWriter, who *identity, team string) bool {
	if who.connector == connectorUnix {
		return true
	}
	wait := s.limits.requests("team", team, s.limits.team)
	if wait > 0 {
		tooMuch(w, wait, "team %q sends more than %d requests a second, which is the most this server takes", team, s.limits.team.Requests)
	}
	return wait == 0
}

// buildRetry is when to try again to create a build: nobody knows when one ends.
const buildRetry = 5 * time.Second

// withinBuilds reports whether the requester may create another build in a team, and
// answers the request when not.
func (s *Server) withinBuilds(w http.ResponseWriter, r *http.Request, team string) bool {
	who := requester(r)
	for _, limit := range []struct {
		most  int
		name  string
		count func(ctx context.Context) (int, error)
	}{
		{s.limits.team.Builds, fmt.Sprintf("team %q", team), func(ctx context.Context) (int, error) {
			return s.database.CountUnfinishedOfTeam(ctx, team)
		}},
		{s.limits.user.Builds, who.user(), func(ctx context.Context) (int, error) {
			return s.database.CountUnfinishedOfUser(ctx, who.user())
		}},
	} {
		if limit.most == 0 || limit.name == who.user() && who.connector == connectorUnix {
			continue
		}
		unfinished, err := limit.count(r.Context())
		if err != nil {
			s.fail(w, r, err)
			return false
		}
		if unfinished >= limit.most {
			tooMuch(w, buildRetry, "%s has %d builds that are not finished, which is the most this server takes", limit.name, unfinished)
			return false
		}
	}
	return true
}

// uploading lets an upload pass of who has not uploaded too much, and counts its bytes.
func (s *Server) uploading(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, team := requester(r), r.PathValue("team")
		var names [][2]string
		for _, limit := range []struct {
			kind, name string
			limits     Limits
		}{{"user", who.user(), s.limits.user}, {"team", team, s.limits.team}} {
			if limit.limits.Upload == 0 || limit.kind == "user" && who.connector == connectorUnix {
				continue
			}
			if wait := s.limits.upload(limit.kind, limit.name, limit.limits); wait > 0 {
				tooMuch(w, wait, "%s %q has uploaded more than %d MB in an hour, which is the most this server takes",
					limit.kind, limit.name, limit.limits.Upload/1e6)
				return
			}
			names = append(names, [2]string{limit.kind, limit.name})
		}
		r.Body = &limitedUpload{r.Body, func(bytes int) {
			for _, name := range names {
				s.limits.uploaded(name[0], name[1], bytes)
			}
		}}
		next(w, r)
	}
}

// limitedUpload tells of what is read of a body.
type limitedUpload struct {
	io.ReadCloser
	read func(bytes int)
}

func (l *limitedUpload) Read(b []byte) (int, error) {
	n, err := l.ReadCloser.Read(b)
	l.read(n)
	return n, err
}
