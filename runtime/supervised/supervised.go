// Package supervised has what midge-agent supervises be what package runtime says, for
// the workers whose containers have one: processes, how they are started, and why they
// could not be. Where the agent runs, and how it is reached, the worker knows.
package supervised

import (
	"errors"
	"fmt"

	"midge/agent"
	"midge/agent/pid1"
	"midge/runtime"
)

// Spec gives what midge-agent is asked to start for a process that is to be. The task
// is sampled, and ends with all that it started.
func Spec(spec runtime.ProcessSpec) agent.Process {
	p := agent.Process{
		ID:         spec.ID,
		Path:       spec.Path,
		Args:       spec.Args,
		Dir:        spec.Dir,
		Env:        spec.Env,
		User:       spec.User,
		Privileged: spec.Privileged,
		Stdin:      spec.Stdin,
		Scrollback: spec.Scrollback,
		EndTree:    spec.ID == runtime.TaskProcessID,
		Sample:     spec.ID == runtime.TaskProcessID,
	}
	if spec.TTY != nil {
		p.TTY = &pid1.Size{Columns: spec.TTY.Columns, Rows: spec.TTY.Rows}
	}
	return p
}

// Explain makes of what midge-agent says, of the container of that handle or a process
// in it, what package runtime promises.
func Explain(handle string, err error) error {
	refused := (*agent.Error)(nil)
	if !errors.As(err, &refused) {
		return fmt.Errorf("container %s: %w", handle, err)
	}
	switch refused.Kind {
	case agent.ErrorExecutable:
		return &runtime.ExecutableError{Path: refused.Path, Found: refused.Found, Reason: refused.Message}
	case agent.ErrorSpec:
		return &runtime.SpecError{Message: refused.Message}
	case agent.ErrorNotFound:
		return &runtime.NotFoundError{Kind: "process", Name: refused.Message}
	default:
		return fmt.Errorf("container %s: %w", handle, refused)
	}
}
