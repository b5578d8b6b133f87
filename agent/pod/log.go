package pod

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"midge/agent"
	"midge/agent/spool"
	"midge/runtime"
)

// What the task writes, and how it ends, the first process writes to its own standard
// output as well, for whoever keeps that when the container has come to an end of which
// nobody told. There it is lines: numbers, and the output as a literal of Go,
//
//	SEQUENCE NANOSECONDS STREAM "output"
//	exit {"code":0}
//
// so that they can be read in what the first process and others write there besides.

// logPiece bounds the output of a line. One of text is then short enough to be written
// as a whole or not at all, whatever becomes of the writer meanwhile.
const logPiece = 3 << 10

// exitPrefix begins the last line.
const exitPrefix = "exit "

// appendLogged appends a record as lines.
func appendLogged(b []byte, r spool.Record) []byte {
	for len(r.Data) > 0 {
		n := min(len(r.Data), logPiece)
		b = strconv.AppendInt(b, r.Sequence, 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, r.Time.UnixNano(), 10)
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(r.Stream), 10)
		b = append(b, ' ')
		b = strconv.AppendQuote(b, string(r.Data[:n]))
		b = append(b, '\n')
		r.Data, r.Sequence = r.Data[n:], r.Sequence+int64(n)
	}
	return b
}

// parseLogged gives the record of a line; ok is false when it is none.
func parseLogged(line []byte) (r spool.Record, ok bool) {
	sequence, rest, _ := bytes.Cut(line, []byte(" "))
	at, rest, _ := bytes.Cut(rest, []byte(" "))
	stream, quoted, _ := bytes.Cut(rest, []byte(" "))
	number, err := strconv.ParseInt(string(sequence), 10, 64)
	nanoseconds, timeErr := strconv.ParseInt(string(at), 10, 64)
	streamNumber, streamErr := strconv.ParseUint(string(stream), 10, 8)
	text, textErr := strconv.Unquote(string(quoted))
	if errors.Join(err, timeErr, streamErr, textErr) != nil || number < 0 || text == "" || quoted[0] != '"' ||
		runtime.Stream(streamNumber) != runtime.Stdout && runtime.Stream(streamNumber) != runtime.Stderr {
		return spool.Record{}, false
	}
	return spool.Record{Stream: uint8(streamNumber), Sequence: number, Time: time.Unix(0, nanoseconds), Data: []byte(text)}, true
}

// logTask writes what the task writes, and how it ends, to standard output, at the pace
// at which that is taken.
func (s *server) logTask(ctx context.Context) {
	if err := s.writeLog(ctx); err != nil && ctx.Err() == nil {
		slog.Error("the task's output is not logged any more", "error", err)
	}
}

func (s *server) writeLog(ctx context.Context) (err error) {
	// Writing to number 1 itself would end this program once nobody reads that.
	number, err := unix.FcntlInt(os.Stdout.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	w := os.NewFile(uintptr(number), os.Stdout.Name())
	defer func() { err = errors.Join(err, w.Close()) }()
	out, err := s.client.Output(ctx, runtime.TaskProcessID, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	var lines []byte
	for {
		record, err := out.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		lines = appendLogged(lines[:0], record)
		for line := range bytes.Lines(lines) {
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
	}
	exit, err := s.client.Wait(ctx, runtime.TaskProcessID)
	if err != nil {
		return err
	}
	text, err := json.Marshal(exit)
	if err != nil {
		return err
	}
	_, err = w.Write(append([]byte(exitPrefix), append(text, '\n')...))
	return err
}

// A Log is what the first process has written to its standard output, from where that
// is kept. It is for one goroutine at a time.
type Log struct {
	lines *bufio.Reader
	next  int64
	exit  *agent.Exit
}

// ReadLog reads a log from a sequence number on. What is not kept any more is passed over,
// and so is what is of nobody's making.
func ReadLog(log io.Reader, from int64) *Log {
	return &Log{lines: bufio.NewReaderSize(log, 64<<10), next: from}
}

// Next gives what follows, or io.EOF.
func (l *Log) Next() (spool.Record, error) {
	for {
		line, err := l.line()
		if err != nil {
			return spool.Record{}, err
		}
		if text, ok := bytes.CutPrefix(line, []byte(exitPrefix)); ok {
			var exit agent.Exit
			if json.Unmarshal(text, &exit) == nil {
				l.exit = &exit
			}
			continue
		}
		r, ok := parseLogged(line)
		end := r.Sequence + int64(len(r.Data))
		if !ok || end <= l.next {
			continue
		}
		if skip := l.next - r.Sequence; skip > 0 {
			r.Sequence, r.Data = l.next, r.Data[skip:]
		}
		l.next = end
		return r, nil
	}
}

// Exit says how the task has ended, nil when the log does not say so. It is known once
// Next has given io.EOF.
func (l *Log) Exit() *agent.Exit { return l.exit }

// maxLine bounds a line that means anything: a byte is four at the most.
const maxLine = 8 * logPiece

// line gives the next line that is whole and not too long, without its end.
func (l *Log) line() ([]byte, error) {
	for {
		line, err := l.lines.ReadSlice('\n')
		if err == nil && len(line) <= maxLine {
			return line[:len(line)-1], nil
		}
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.lines.ReadSlice('\n')
		}
		if err != nil {
			return nil, err
		}
	}
}
