package api

// HijackProcess is the first frame a client sends on a hijack websocket: what to run.
type HijackProcess struct {
	Path       string     `json:"path"`
	Args       []string   `json:"args"`
	Env        []string   `json:"env"`
	Dir        string     `json:"dir"`
	Privileged bool       `json:"privileged"`
	User       string     `json:"user"`
	TTY        *HijackTTY `json:"tty"`
}

// HijackTTY asks for a terminal of a size.
type HijackTTY struct {
	WindowSize HijackWindowSize `json:"window_size"`
}

// HijackWindowSize is a terminal's size in characters.
type HijackWindowSize struct {
	Columns int `json:"columns"`
	Rows    int `json:"rows"`
}

// HijackInput is every later frame of the client: input, its end, or a new size.
type HijackInput struct {
	Closed bool       `json:"closed,omitempty"`
	Stdin  []byte     `json:"stdin,omitempty"`
	TTY    *HijackTTY `json:"tty,omitempty"`
}

// HijackOutput is a frame of the server: output, the exit status, or why there is none.
type HijackOutput struct {
	Stdout             []byte `json:"stdout,omitempty"`
	Stderr             []byte `json:"stderr,omitempty"`
	Error              string `json:"error,omitempty"`
	ExitStatus         *int   `json:"exit_status,omitempty"`
	ExecutableNotFound bool   `json:"executable_not_found,omitempty"`
}
