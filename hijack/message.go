package hijack

import (
	"encoding/json"
	"fmt"

	"midge/api"
	"midge/runtime"
)

// The JSON in those frames that are not sent often.

// startRequest asks for a command to be run.
type startRequest struct {
	Process api.HijackProcess `json:"process"`
	// Client is a name the client chose for itself, at random. One that starts twice by
	// the same name, having missed the first answer, gets the same session.
	Client string `json:"client"`
	// Window is how many bytes of output may be under way.
	Window int64 `json:"window"`
}

// attachRequest asks to go on with a session.
type attachRequest struct {
	Session string `json:"session"`
	Client  string `json:"client"`
	Window  int64  `json:"window"`
	// From is the sequence number of the first byte of output that the client lacks;
	// without it the end of the scrollback is sent.
	From *int64 `json:"from,omitempty"`
	// Input is how many bytes of the client's input have been acknowledged.
	Input    int64 `json:"input"`
	ReadOnly bool  `json:"read_only,omitempty"`
}

// attachedReply tells where a session stands.
type attachedReply struct {
	Session  string   `json:"session"`
	Command  []string `json:"command"`
	TTY      bool     `json:"tty,omitempty"`
	ReadOnly bool     `json:"read_only,omitempty"`
	// Sequence is that of the first byte of output that will be sent.
	Sequence int64 `json:"sequence"`
	// Input is how many bytes of this client's input need not be sent again.
	Input int64 `json:"input"`
	// Window is how many bytes of input may be under way.
	Window int64 `json:"window"`
	// Timeout is for how many seconds the session stays without a client.
	Timeout int64 `json:"timeout"`
}

// exitReport tells how the process ended.
type exitReport struct {
	ExitStatus int    `json:"exit_status"`
	Signal     string `json:"signal,omitempty"`
	OOMKilled  bool   `json:"oom_killed,omitempty"`
	// Usage is what the session has used, nil when that is not known.
	Usage *api.StepUsage `json:"usage,omitempty"`
}

// errorReport tells why there is no session, or no longer.
type errorReport struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	// Usage is what a session that is no longer has used, nil when that is not known.
	Usage *api.StepUsage `json:"usage,omitempty"`
}

// Codes of an Error.
const (
	// CodeNotFound: nothing is at the command's path.
	CodeNotFound = "executable_not_found"
	// CodeNotExecutable: what is at the command's path cannot be executed.
	CodeNotExecutable = "not_executable"
	// CodeRefused: the command cannot be run as it was asked for.
	CodeRefused = "refused"
	// CodeNoSession: there is no session of that id.
	CodeNoSession = "no_session"
	// CodeEnded: the session was ended before its command did.
	CodeEnded = "ended"
	// CodeReplaced: another client has taken the session over.
	CodeReplaced = "replaced"
	// CodeMalformed: a frame was not understood.
	CodeMalformed = "malformed"
	// CodeFailed: something went wrong on the server.
	CodeFailed = "failed"
)

// Error tells why a session could not begin, or why it is over without an exit status.
type Error struct {
	Code    string
	Message string

	usage *api.StepUsage // of the session that was ended, nil when that is not known
}

func (e *Error) Error() string { return e.Message }

func newError(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// encodeMessage makes a frame of kind with the JSON of value.
func encodeMessage(kind frameKind, value any) frame {
	data, err := json.Marshal(value)
	if err != nil {
		// Strings, numbers and lists of them can always be encoded.
		panic(fmt.Sprintf("hijack: encode a %s frame: %v", kind, err))
	}
	return frame{kind: kind, data: data}
}

func decodeMessage[T any](f frame) (T, error) {
	var value T
	if err := json.Unmarshal(f.data, &value); err != nil {
		return value, malformed("its %s is not the JSON it should be: %v", f.kind, err)
	}
	return value, nil
}

// processSpec is what a request asks to be run. Env and user are as it says;
// whether it is privileged is the container's to say.
func processSpec(p api.HijackProcess, privileged bool) (runtime.ProcessSpec, error) {
	if p.Path == "" {
		return runtime.ProcessSpec{}, newError(CodeRefused, "no command was given")
	}
	spec := runtime.ProcessSpec{
		Path: p.Path, Args: p.Args, Dir: p.Dir, Env: p.Env, User: p.User,
		Privileged: privileged, Stdin: true, Toolbox: p.Toolbox,
	}
	if p.TTY != nil {
		size, err := windowSize(p.TTY.WindowSize)
		if err != nil {
			return runtime.ProcessSpec{}, err
		}
		spec.TTY = &size
	}
	return spec, nil
}

func windowSize(w api.HijackWindowSize) (runtime.WindowSize, error) {
	const most = 1<<16 - 1
	if w.Columns < 0 || w.Rows < 0 || w.Columns > most || w.Rows > most {
		return runtime.WindowSize{}, newError(CodeRefused, "a terminal of %d columns and %d rows cannot be: each is 0 to %d", w.Columns, w.Rows, most)
	}
	return runtime.WindowSize{Columns: uint16(w.Columns), Rows: uint16(w.Rows)}, nil
}
