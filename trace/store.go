package trace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/trace/otlp"
)

// storeLimits bound a store.
type storeLimits struct {
	buildBytes int64 // the file of a build's spans
	pending    int   // the spans that wait to be written, of all builds
	ring       int   // the spans of requests
}

// flushInterval is how long a span may wait to be written.
const flushInterval = time.Second

// Store keeps the spans of a server: those of builds in a file a build, the last
// ones of everything else in memory. Its methods may be called from many goroutines.
//
// The file of build 12 in the trace 4bf9... is 4bf9.../12.jsonl below the store's
// directory. Each of its lines is a TracesData message of OTLP in JSON, as
// OpenTelemetry's file exporter writes them. A line that a crash has cut is passed over.
// Spans that take their time are written when they begin, too, without an end: those
// whose process was killed are known by that.
type Store struct {
	directory string
	log       *slog.Logger
	limits    storeLimits
	wake      chan struct{}
	stop      context.CancelFunc
	done      chan struct{}

	mu      sync.Mutex
	pending map[buildFile][]otlp.Span
	waiting int // spans in pending
	open    map[oteltrace.SpanID]*openSpan
	dropped int64
	ring    []otlp.Span
	next    int // where the next span goes in the ring once it is full

	writing sync.Mutex // held while files are written
}

// buildFile is a build in a trace.
type buildFile struct {
	trace oteltrace.TraceID
	build int
}

// OpenStore opens the store in a directory, which is made if it is not there.
func OpenStore(directory string, log *slog.Logger) (*Store, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("open the store of traces: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Store{
		directory: directory, log: log, stop: stop, done: make(chan struct{}),
		limits: storeLimits{buildBytes: 16 << 20, pending: 20_000, ring: 4096},
		wake:   make(chan struct{}, 1), pending: map[buildFile][]otlp.Span{}, open: map[oteltrace.SpanID]*openSpan{},
	}
	go s.run(ctx)
	return s, nil
}

// Keep keeps a span that has ended. It never waits for the disk.
func (s *Store) Keep(span otlp.Span) {
	build := buildOf(&span)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, span.SpanID)
	switch {
	case build == 0 && isNoise(&span):
	case build == 0 && len(s.ring) < s.limits.ring:
		s.ring = append(s.ring, span)
	case build == 0:
		s.ring[s.next] = span
		s.next = (s.next + 1) % s.limits.ring
	case s.waiting >= s.limits.pending:
		s.dropped++
	default:
		key := buildFile{span.TraceID, build}
		s.pending[key] = append(s.pending[key], span)
		s.waiting++
		s.wakeUp()
	}
}

// wakeUp has what is new written before long.
func (s *Store) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// buildOf gives the build that a span belongs to, 0 for none.
func buildOf(span *otlp.Span) int {
	value, ok := span.Attribute(BuildKey)
	if !ok {
		return 0
	}
	build, err := strconv.Atoi(value.AsString())
	if err != nil || build < 0 {
		return 0
	}
	return build
}

// isNoise tells the spans of background loops' statements, which would drive those
// of requests out of the ring.
func isNoise(span *otlp.Span) bool {
	level, _ := span.Attribute(LevelKey)
	return level == Debug.Value && !span.ParentID.IsValid() && span.Kind == oteltrace.SpanKindInternal
}

// run writes what is pending, at the latest flushInterval after it came.
func (s *Store) run(ctx context.Context) {
	defer close(s.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		timer := time.NewTimer(flushInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if err := s.Flush(); err != nil {
			s.log.Error("spans are lost", "error", err)
		}
	}
}

// Flush writes what is pending. Spans that cannot be written are lost.
func (s *Store) Flush() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	pending := s.pending
	s.pending, s.waiting = map[buildFile][]otlp.Span{}, 0
	s.addBegun(pending)
	s.mu.Unlock()
	var errs []error
	for key, spans := range pending {
		errs = append(errs, s.write(key, spans))
	}
	return errors.Join(errs...)
}

func (s *Store) path(key buildFile) string {
	return filepath.Join(s.traceDir(key.trace), strconv.Itoa(key.build)+".jsonl")
}

func (s *Store) traceDir(id oteltrace.TraceID) string { return filepath.Join(s.directory, id.String()) }

// write appends spans to the file of a build. Of a file that is full it drops them.
func (s *Store) write(key buildFile, spans []otlp.Span) error {
	path := s.path(key)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	line, err := otlp.EncodeJSON(spans)
	if err == nil {
		err = s.appendLine(file, line, len(spans))
	}
	return errors.Join(err, file.Close())
}

func (s *Store) appendLine(file *os.File, line []byte, spans int) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size()+int64(len(line)) > s.limits.buildBytes {
		s.mu.Lock()
		s.dropped += int64(spans)
		s.mu.Unlock()
		return nil
	}
	// What a crash has cut ends where the next line begins.
	_, err = file.Write(append(append([]byte("\n"), line...), '\n'))
	return err
}

// Part is the spans of a trace that belong together: those of a build, or those of
// a request with all below it.
type Part struct {
	Build int    // 0 for a request
	User  string // who made the request, "" when that is not known
	Spans []otlp.Span
}

// Trace gives the parts of a trace, none when nothing is known of it.
func (s *Store) Trace(id oteltrace.TraceID) ([]Part, error) {
	builds, err := s.builds(id)
	if err != nil {
		return nil, fmt.Errorf("read trace %s: %w", id, err)
	}
	var parts []Part
	for _, build := range builds {
		spans, err := s.buildSpans(buildFile{id, build})
		if err != nil {
			return nil, fmt.Errorf("read trace %s of build %d: %w", id, build, err)
		}
		parts = append(parts, Part{Build: build, Spans: spans})
	}
	return append(parts, s.requests(id)...), nil
}

// builds gives the builds that a trace has spans of, in order.
func (s *Store) builds(id oteltrace.TraceID) ([]int, error) {
	builds, err := s.written(id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	for key := range s.pending {
		if key.trace == id {
			builds = append(builds, key.build)
		}
	}
	s.mu.Unlock()
	slices.Sort(builds)
	return slices.Compact(builds), nil
}

// buildSpans gives the spans of a build, written and pending.
func (s *Store) buildSpans(key buildFile) ([]otlp.Span, error) {
	// Without writing in between, no span is in neither of the two or in both.
	s.writing.Lock()
	defer s.writing.Unlock()
	data, err := os.ReadFile(s.path(key))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var spans []otlp.Span
	for line := range strings.Lines(string(data)) {
		decoded, err := otlp.DecodeJSON([]byte(line))
		if err != nil {
			continue
		}
		spans = append(spans, decoded...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settle(append(spans, s.pending[key]...)), nil
}

// requests gives the spans of a trace that are in the ring, by the request at their top.
func (s *Store) requests(id oteltrace.TraceID) []Part {
	s.mu.Lock()
	var spans []otlp.Span
	for _, span := range s.ring {
		if span.TraceID == id {
			spans = append(spans, span)
		}
	}
	s.mu.Unlock()

	index := map[oteltrace.SpanID]*otlp.Span{}
	for i := range spans {
		index[spans[i].SpanID] = &spans[i]
	}
	parts := map[oteltrace.SpanID]*Part{}
	var order []oteltrace.SpanID
	for i := range spans {
		top := topOf(index, &spans[i])
		part := parts[top.SpanID]
		if part == nil {
			user, _ := top.Attribute(UserKey)
			part = &Part{User: user.AsString()}
			parts[top.SpanID] = part
			order = append(order, top.SpanID)
		}
		part.Spans = append(part.Spans, spans[i])
	}
	var all []Part
	for _, top := range order {
		all = append(all, *parts[top])
	}
	return all
}

func topOf(index map[oteltrace.SpanID]*otlp.Span, span *otlp.Span) *otlp.Span {
	for range len(index) { // Spans that are each other's parents end here.
		parent := index[span.ParentID]
		if parent == nil {
			return span
		}
		span = parent
	}
	return span
}

// RemoveBuild removes the spans of a build. Removing what is not there is no error.
func (s *Store) RemoveBuild(id oteltrace.TraceID, build int) error {
	key := buildFile{id, build}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	s.waiting -= len(s.pending[key])
	delete(s.pending, key)
	s.mu.Unlock()
	if err := os.Remove(s.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the spans of build %d: %w", build, err)
	}
	// The directory stays while another build of the trace has a file in it.
	_ = os.Remove(filepath.Dir(s.path(key)))
	return nil
}

// StoreStatus says how a store is doing.
type StoreStatus struct {
	Pending int   // spans that wait to be written
	Dropped int64 // spans for which there was no room, since the store was opened
	Ring    int   // spans of requests in memory
}

// Status says how the store is doing.
func (s *Store) Status() StoreStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return StoreStatus{Pending: s.waiting, Dropped: s.dropped, Ring: len(s.ring)}
}

// Close writes what is pending and ends the store's goroutine.
func (s *Store) Close() error {
	s.stop()
	<-s.done
	return s.Flush()
}
