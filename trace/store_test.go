package trace

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/trace/otlp"
)

var someTrace = oteltrace.TraceID{0x4b, 0xf9, 15: 1}

func openStore(t *testing.T, directory string) *Store {
	t.Helper()
	store, err := OpenStore(directory, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func closeStore(t *testing.T, store *Store) {
	t.Helper()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// numbered makes a span with an id, of a build when that is not 0.
func numbered(id byte, build int, attributes ...attribute.KeyValue) otlp.Span {
	if build != 0 {
		attributes = append(attributes, Build(build))
	}
	return otlp.Span{TraceID: someTrace, SpanID: oteltrace.SpanID{7: id}, Name: "span", Attributes: attributes}
}

// ids gives the ids of the spans of each part of a trace.
func ids(t *testing.T, store *Store) map[string][]byte {
	t.Helper()
	parts, err := store.Trace(someTrace)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	for _, part := range parts {
		name := part.User
		if part.Build != 0 {
			name = "build " + text(part.Spans[0], BuildKey)
		}
		for _, span := range part.Spans {
			got[name] = append(got[name], span.SpanID[7])
		}
		slices.Sort(got[name])
	}
	return got
}

func TestStoreKeepsBuildsAndRequestsApart(t *testing.T) {
	directory := t.TempDir()
	store := openStore(t, directory)
	child := numbered(5, 0)
	child.ParentID = oteltrace.SpanID{7: 4}
	other := numbered(9, 0)
	other.TraceID = oteltrace.TraceID{1}
	for _, span := range []otlp.Span{
		numbered(1, 12), numbered(2, 12), numbered(3, 13), child,
		numbered(4, 0, UserKey.String("alice")), numbered(6, 0, UserKey.String("bob")), other,
	} {
		store.Keep(span)
	}
	want := map[string][]byte{"build 12": {1, 2}, "build 13": {3}, "alice": {4, 5}, "bob": {6}}
	if diff := cmp.Diff(want, ids(t, store)); diff != "" {
		t.Errorf("pending: -want +got:\n%s", diff)
	}
	if err := store.Flush(); err != nil {
		t.Fatal(err)
	}
	store.Keep(numbered(7, 12))
	want["build 12"] = []byte{1, 2, 7}
	if diff := cmp.Diff(want, ids(t, store)); diff != "" {
		t.Errorf("written: -want +got:\n%s", diff)
	}
	closeStore(t, store)

	again := openStore(t, directory)
	defer closeStore(t, again)
	delete(want, "alice")
	delete(want, "bob")
	if diff := cmp.Diff(want, ids(t, again)); diff != "" {
		t.Errorf("opened again: -want +got:\n%s", diff)
	}
	for build := range 20 {
		if err := again.RemoveBuild(someTrace, build); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(directory, someTrace.String())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory of a trace without builds stays: %v", err)
	}
	if got := ids(t, again); len(got) != 0 {
		t.Errorf("removed builds are still there: %v", got)
	}
}

func TestStoreWritesByItself(t *testing.T) {
	directory := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t, directory)
		store.Keep(numbered(1, 12))
		time.Sleep(flushInterval)
		synctest.Wait()
		if _, err := os.Stat(filepath.Join(directory, someTrace.String(), "12.jsonl")); err != nil {
			t.Error(err)
		}
		if got := store.Status().Pending; got != 0 {
			t.Errorf("%d spans are pending", got)
		}
		closeStore(t, store)
	})
}

func TestStorePassesOverALineThatACrashCut(t *testing.T) {
	directory := t.TempDir()
	store := openStore(t, directory)
	store.Keep(numbered(1, 12))
	closeStore(t, store)
	path := filepath.Join(directory, someTrace.String(), "12.jsonl")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := append(data, data[:len(data)-20]...)
	if err := os.WriteFile(path, cut, 0o600); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, directory)
	again.Keep(numbered(2, 12))
	if err := again.Flush(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]byte{"build 12": {1, 2}}, ids(t, again)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	closeStore(t, again)
}

func TestStoreIsBounded(t *testing.T) {
	store := openStore(t, t.TempDir())
	defer closeStore(t, store)
	store.limits = storeLimits{buildBytes: 10_000, pending: 20, ring: 30}
	for range 2 * store.limits.ring {
		store.Keep(numbered(1, 0))
	}
	large := numbered(2, 12, attribute.String("x", strings.Repeat("x", 3000)))
	for range 5 {
		store.Keep(large)
		if err := store.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(store.path(buildFile{someTrace, 12}))
	if err != nil || info.Size() > store.limits.buildBytes {
		t.Errorf("the file of a build has %d bytes: %v", info.Size(), err)
	}
	for range 2 * store.limits.pending {
		store.Keep(numbered(3, 13))
	}
	status := store.Status()
	if status.Ring != store.limits.ring || status.Pending > store.limits.pending || status.Dropped != 3+20 {
		t.Errorf("status is %+v", status)
	}
}

func TestStoreLeavesOutBackgroundStatements(t *testing.T) {
	store := openStore(t, t.TempDir())
	defer closeStore(t, store)
	statement := numbered(1, 0, Debug)
	statement.Kind = oteltrace.SpanKindInternal
	store.Keep(statement)
	statement.ParentID = oteltrace.SpanID{7: 9}
	store.Keep(statement)
	request := numbered(2, 0, Debug)
	request.Kind = oteltrace.SpanKindServer
	store.Keep(request)
	if got := store.Status().Ring; got != 2 {
		t.Errorf("%d spans are kept, want that of a request's statement and that of a request", got)
	}
}

func TestSpansThatAreEachOthersParentsEnd(t *testing.T) {
	store := openStore(t, t.TempDir())
	defer closeStore(t, store)
	a, b := numbered(1, 0), numbered(2, 0)
	a.ParentID, b.ParentID = b.SpanID, a.SpanID
	store.Keep(a)
	store.Keep(b)
	if parts, err := store.Trace(someTrace); err != nil || len(parts) == 0 {
		t.Errorf("%v, %v", parts, err)
	}
}

func TestStoreServesManyAtOnce(t *testing.T) {
	store := openStore(t, t.TempDir())
	var senders sync.WaitGroup
	const each = 20
	for id := range byte(4) {
		senders.Go(func() {
			for range each {
				store.Keep(numbered(id+1, 12))
				if id == 0 {
					_ = store.Flush()
				}
				if _, err := store.Trace(someTrace); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	if got := len(ids(t, store)["build 12"]); got != 4*each {
		t.Errorf("%d spans are kept, want %d", got, 4*each)
	}
	closeStore(t, store)
}

func TestEndpoint(t *testing.T) {
	store := openStore(t, t.TempDir())
	defer closeStore(t, store)
	store.Keep(numbered(1, 12))
	store.Keep(numbered(2, 13))
	store.Keep(numbered(3, 0, UserKey.String("alice")))
	broken := errors.New("the database is closed")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/traces/{id}", store.Endpoint(func(r *http.Request, part Part) (bool, error) {
		switch user := r.Header.Get("User"); user {
		case "broken":
			return false, broken
		case "mallory":
			return false, nil
		default:
			return part.Build == 12 || part.User == user, nil
		}
	}))
	for _, test := range []struct {
		user, id string
		status   int
		want     []byte
	}{
		{"alice", someTrace.String(), http.StatusOK, []byte{1, 3}},
		{"bob", someTrace.String(), http.StatusOK, []byte{1}},
		{"mallory", someTrace.String(), http.StatusNotFound, nil},
		{"broken", someTrace.String(), http.StatusInternalServerError, nil},
		{"alice", strings.Repeat("1", 32), http.StatusNotFound, nil},
		{"alice", "12", http.StatusBadRequest, nil},
		{"alice", "..%2f..%2fsecret", http.StatusBadRequest, nil},
	} {
		request := httptest.NewRequest(http.MethodGet, "/api/v1/traces/"+test.id, nil)
		request.Header.Set("User", test.user)
		response := httptest.NewRecorder()
		mux.ServeHTTP(response, request)
		if response.Code != test.status {
			t.Errorf("%s asking for %s: status %d, want %d: %s", test.user, test.id, response.Code, test.status, response.Body)
			continue
		}
		if test.status != http.StatusOK {
			continue
		}
		spans, err := otlp.DecodeJSON(response.Body.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, span := range spans {
			got = append(got, span.SpanID[7])
		}
		slices.Sort(got)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s asking for %s: -want +got:\n%s", test.user, test.id, diff)
		}
	}
}

func TestRemoveBuildsOfAllTraces(t *testing.T) {
	directory := t.TempDir()
	store := openStore(t, directory)
	store.Keep(numbered(1, 11))
	store.Keep(numbered(2, 12))
	if err := store.Flush(); err != nil {
		t.Fatal(err)
	}
	// What is not a trace's is not the store's.
	if err := os.Mkdir(filepath.Join(directory, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	removed, err := store.RemoveBuilds(func(build int) bool { return build == 11 })
	if err != nil || removed != 1 {
		t.Errorf("it removed the spans of %d builds (%v), want 1", removed, err)
	}
	if parts, err := store.Trace(someTrace); err != nil || len(parts) != 1 || parts[0].Build != 12 {
		t.Errorf("there is %+v (%v), want build 12 alone", parts, err)
	}
	closeStore(t, store)
}

// What had begun when its process was killed is there afterwards, until the next went on.
func TestStoreTellsOfSpansThatWereCutOff(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(1000+int64(seconds), 0).UTC() }
	process := func(name string) *otlp.Resource {
		return &otlp.Resource{Attributes: []attribute.KeyValue{semconv.ServiceInstanceID(name)}}
	}
	span := func(id byte, from *otlp.Resource, begin, end int) otlp.Span {
		made := numbered(id, 12)
		made.Resource, made.Start = from, at(begin)
		if end > 0 {
			made.End = at(end)
		}
		return made
	}
	directory := t.TempDir()
	killed, next := process("killed"), process("next")
	store := openStore(t, directory)
	store.Begin(span(1, killed, 1, 0))
	store.Begin(span(2, killed, 2, 0))
	if err := store.Flush(); err != nil {
		t.Fatal(err)
	}
	store.Keep(span(2, killed, 2, 5))
	store.Begin(span(3, killed, 6, 0))
	if got := ids(t, store)["build 12"]; string(got) != "\x02" {
		t.Errorf("of what is going on it gives %v", got)
	}
	if err := store.Flush(); err != nil {
		t.Fatal(err)
	}
	// Nothing tells the store that it is killed: what opens its directory next is another.
	after := openStore(t, directory)
	check := func(name string, ends map[byte]int) {
		t.Helper()
		parts, err := after.Trace(someTrace)
		if err != nil || len(parts) != 1 {
			t.Fatal(len(parts), err)
		}
		got := map[byte]int{}
		for _, span := range parts[0].Spans {
			got[span.SpanID[7]] = int(span.End.Sub(at(0)).Seconds())
			_, cut := span.Attribute(Interrupted.Key)
			if failed := span.Status == codes.Error; cut != failed || cut != (span.SpanID[7] == 1 || span.SpanID[7] == 3) {
				t.Errorf("%s: span %d was cut off: %t, and has failed: %t %q", name, span.SpanID[7], cut, failed, span.Message)
			}
		}
		if diff := cmp.Diff(ends, got); diff != "" {
			t.Errorf("%s: the spans end otherwise (-want +got):\n%s", name, diff)
		}
	}
	check("before another goes on", map[byte]int{1: 6, 2: 5, 3: 6})
	after.Begin(span(4, next, 20, 0))
	after.Keep(span(4, next, 20, 30))
	check("afterwards", map[byte]int{1: 20, 2: 5, 3: 20, 4: 30})
	closeStore(t, after)
	closeStore(t, store)
}
