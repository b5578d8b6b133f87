package hijack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"midge/api"
	"midge/runtime"
)

// endGrace is how long a process has between being hung up on and being killed.
const endGrace = 5 * time.Second

// Session is a command in a container, and those who are attached to it.
type Session struct {
	sessions  *Sessions
	container runtime.Container
	process   runtime.Process
	input     sessionInput

	// ctx ends when the server lets go of the session, or forgets it.
	ctx    context.Context
	cancel context.CancelFunc

	// seen is the sequence number after the last byte that anybody has read.
	seen atomic.Int64

	ended chan struct{} // closed when end and failure are set
	end   End

	idle *time.Timer // nil without an idle timeout

	mu     sync.Mutex
	record record
	// reason is why the session is being ended, "" when it is not.
	reason      string
	attachments map[*attachment]bool
	alone       *time.Timer // runs while there are no attachments
	stopDrain   context.CancelFunc
}

func newSession(sessions *Sessions, record record, container runtime.Container, process runtime.Process) *Session {
	s := &Session{
		sessions: sessions, container: container, process: process, record: record,
		ended: make(chan struct{}), attachments: map[*attachment]bool{},
	}
	s.ctx, s.cancel = context.WithCancel(sessions.ctx)
	s.input.init(s)
	if sessions.config.IdleTimeout > 0 {
		s.idle = time.AfterFunc(sessions.config.IdleTimeout, s.endIdle)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaveAlone()
	return s
}

// ID names the session on its server.
func (s *Session) ID() string { return s.record.ID }

// Info says what the session is.
func (s *Session) Info() api.HijackSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := s.record.info()
	info.Clients = len(s.attachments)
	return info
}

func (r record) info() api.HijackSession {
	info := api.HijackSession{
		ID: r.ID, Container: r.Container, TeamName: r.TeamName, BuildID: r.BuildID, PlanID: r.PlanID,
		StepName: r.StepName, User: r.User, From: r.From, Command: r.Command, TTY: r.TTY,
		BeginTime: r.Began.Unix(),
	}
	if r.Ended != nil {
		info.EndTime = r.Ended.Unix()
	}
	return info
}

func (s *Session) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// End hangs up on the command, and kills it when it is still there after some
// seconds. Clients are then told the reason. It does not wait for the end.
func (s *Session) End(reason string) {
	s.mu.Lock()
	if s.reason == "" {
		s.reason = reason
	}
	s.mu.Unlock()
	s.sessions.running.Go(func() {
		if err := s.hangUp(); err != nil && s.ctx.Err() == nil {
			s.sessions.config.Log.Error("end a hijack session", "session", s.ID(), "error", err)
		}
	})
}

func (s *Session) hangUp() error {
	if err := s.process.Signal(s.ctx, runtime.SignalHangup); err != nil {
		return fmt.Errorf("hang up: %w", err)
	}
	grace := time.NewTimer(endGrace)
	defer grace.Stop()
	select {
	case <-s.ended:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	case <-grace.C:
	}
	if err := s.process.Signal(s.ctx, runtime.SignalKill); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	return nil
}

func (s *Session) endIdle() {
	s.End(fmt.Sprintf("the session was idle for %v, and is ended", s.sessions.config.IdleTimeout))
}

func (s *Session) endAlone() {
	if s.hasEnded() {
		s.drop()
		return
	}
	s.End(fmt.Sprintf("nobody was attached to the session for %v, and it is ended", s.sessions.config.SessionTimeout))
}

// use tells that the session is not idle.
func (s *Session) use() {
	if s.idle != nil {
		s.idle.Reset(s.sessions.config.IdleTimeout)
	}
}

// watch waits for the command's end, apart from everybody.
func (s *Session) watch() {
	s.sessions.running.Go(func() {
		status, err := s.process.Wait(s.ctx)
		if s.ctx.Err() != nil {
			return
		}
		s.noteEnd(status, err)
	})
}

func (s *Session) noteEnd(status runtime.ExitStatus, err error) {
	if s.idle != nil {
		s.idle.Stop()
	}
	s.mu.Lock()
	end := End{Message: s.reason}
	told := s.record.Ended != nil
	now := time.Now().Round(0)
	s.record.Ended = &now
	s.mu.Unlock()
	if err == nil {
		end.Exit, end.Usage = &status, s.usage(status)
	} else if end.Message == "" {
		end.Message = goneMessage(err)
	}
	s.end = end
	if !told {
		s.sessions.config.Observer.SessionEnded(s.Info(), end)
	}
	if err := s.saveRecord(); err != nil {
		s.sessions.config.Log.Error("note the end of a hijack session", "session", s.ID(), "error", err)
	}
	close(s.ended)
}

// usage gives what the session's processes have used. That it is not known is no
// reason for the session to have failed.
func (s *Session) usage(status runtime.ExitStatus) *api.StepUsage {
	used, err := s.process.Usage(s.ctx)
	if err != nil {
		s.sessions.config.Log.Warn("what a hijack session used is not known", "session", s.ID(), "error", err)
	}
	if used == nil {
		return nil
	}
	info := s.Info()
	return &api.StepUsage{
		Time: status.Ended.Unix(), Origin: api.Origin{ID: info.PlanID}, Name: usageName(info), Session: info.ID,
		Started: status.Started, Ended: status.Ended, ResourceUsage: *used,
	}
}

// usageName is what a session is called where its usage is shown. It fits a line, and
// the frame that tells the client of it, whatever the command's name is.
func usageName(info api.HijackSession) string {
	name := path.Base(info.Command[0])
	const most = 64
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most], "") + "..."
	}
	return "hijack " + name
}

func goneMessage(err error) string {
	var missing *runtime.NotFoundError
	if errors.As(err, &missing) {
		return fmt.Sprintf("the %s is gone: it was removed while the session was in it", missing.Kind)
	}
	return fmt.Sprintf("the command is out of reach: %v", err)
}

func (s *Session) saveRecord() error {
	s.mu.Lock()
	record := s.record
	s.mu.Unlock()
	return s.sessions.save(record)
}

// drop forgets a session whose end was told to a client, or will be to none.
func (s *Session) drop() {
	s.sessions.forget(s.ID())
	s.letGo()
}

// letGo stops everything that the server does for the session.
func (s *Session) letGo() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alone != nil {
		s.alone.Stop()
	}
	if s.idle != nil {
		s.idle.Stop()
	}
}

// attachment is one client's connection to a session.
type attachment struct {
	session  *Session
	client   string
	readOnly bool
	// cancel ends the connection.
	cancel context.CancelCauseFunc
}

// attach adds a connection. One that the same client had before is cut: it has
// gone, and does not know yet. Without a terminal there is one client at a time, since
// all of its output goes to one place; another takes it over.
func (s *Session) attach(a *attachment) {
	s.mu.Lock()
	var cut []*attachment
	for other := range s.attachments {
		if other.client == a.client || !s.record.TTY {
			cut = append(cut, other)
		}
	}
	s.attachments[a] = true
	if s.alone != nil {
		s.alone.Stop()
		s.alone = nil
	}
	if s.stopDrain != nil {
		s.stopDrain()
		s.stopDrain = nil
	}
	s.mu.Unlock()
	for _, other := range cut {
		other.cancel(newError(CodeReplaced, "the session was attached to elsewhere"))
	}
	s.sessions.config.Observer.ContainerUsed(s.Info())
}

func (s *Session) detach(a *attachment) {
	s.mu.Lock()
	delete(s.attachments, a)
	if len(s.attachments) == 0 {
		s.leaveAlone()
	}
	s.mu.Unlock()
	s.sessions.config.Observer.ContainerUsed(s.Info())
}

// leaveAlone begins the time without clients. Meanwhile a terminal's output is
// read and left to the scrollback, so that its command does not stand still; the
// output of pipes waits, and is complete. The caller holds the lock.
func (s *Session) leaveAlone() {
	if s.ctx.Err() != nil {
		return
	}
	s.alone = time.AfterFunc(s.sessions.config.SessionTimeout, s.endAlone)
	if !s.record.TTY {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.stopDrain = cancel
	s.sessions.running.Go(func() {
		defer cancel()
		s.drain(ctx)
	})
}

func (s *Session) drain(ctx context.Context) {
	reader, err := s.process.Output(ctx, s.seen.Load())
	if err != nil {
		return
	}
	defer reader.Close()
	for {
		chunk, err := reader.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				s.sessions.config.Log.Error("read the output of a hijack session", "session", s.ID(), "error", err)
			}
			return
		}
		s.noteSeen(chunk.Sequence + int64(len(chunk.Data)))
	}
}

// output gives the process's output from a sequence number on to who sends it to a
// client, until there is no more, or sending it fails.
func (s *Session) output(ctx context.Context, from int64, send func(runtime.Chunk) error) error {
	reader, err := s.process.Output(ctx, from)
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		chunk, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.noteOutput(chunk)
		if err := send(chunk); err != nil {
			return err
		}
	}
}

// noteOutput tells that a client is about to be sent output. For a session without a
// terminal that is use: a long copy gets no input.
func (s *Session) noteOutput(chunk runtime.Chunk) {
	s.noteSeen(chunk.Sequence + int64(len(chunk.Data)))
	if !s.record.TTY {
		s.use()
	}
}

func (s *Session) noteSeen(sequence int64) {
	for {
		seen := s.seen.Load()
		if sequence <= seen || s.seen.CompareAndSwap(seen, sequence) {
			return
		}
	}
}
