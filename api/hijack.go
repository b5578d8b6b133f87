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
	// Toolbox has Path be one of the worker's own commands, for an image that has none.
	// Only midge knows it.
	Toolbox bool `json:"toolbox,omitempty"`
	// InTaskDir has the command begin where the task's did, and in Dir only when that is
	// not there any more. Only midge knows it.
	InTaskDir bool `json:"in_task_dir,omitempty"`
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

// HijackSession is a session as the server lists it: a command that somebody runs
// in a container, whether or not they are attached to it. Only midge knows sessions.
type HijackSession struct {
	ID        string   `json:"id"`
	Container string   `json:"container"`
	TeamName  string   `json:"team_name,omitempty"`
	BuildID   int      `json:"build_id,omitempty"`
	PlanID    string   `json:"plan_id,omitempty"`
	StepName  string   `json:"step_name,omitempty"`
	User      string   `json:"user,omitempty"`
	From      string   `json:"from,omitempty"` // the address of the client that began it
	Command   []string `json:"command"`
	TTY       bool     `json:"tty,omitempty"`
	// BeginTime and EndTime are in Unix seconds; EndTime is 0 while it runs.
	BeginTime int64 `json:"begin_time"`
	EndTime   int64 `json:"end_time,omitempty"`
	// Clients is how many are attached now.
	Clients int `json:"clients"`
}
