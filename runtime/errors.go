package runtime

import "fmt"

// NotFoundError tells that something of that name is not there.
type NotFoundError struct {
	Kind string // worker, container, volume, process, path, cache
	Name string
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("%s %q not found", e.Kind, e.Name) }

// SpecError tells that what was asked for cannot be, in one sentence for who asked.
type SpecError struct {
	Message string
	Err     error // may be nil
}

func (e *SpecError) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *SpecError) Unwrap() error { return e.Err }

// ExecutableError tells that a command could not be started, and what is at its path.
type ExecutableError struct {
	Path string
	// Found is false when nothing is there, true when something is that cannot be executed.
	Found bool
	// Reason is one sentence: what is at the path, and what lies beside it.
	Reason string
}

func (e *ExecutableError) Error() string { return e.Reason }

// TarError tells that a tar stream was refused.
type TarError struct {
	Entry string // the entry's name, "" when it is about the stream
	Err   error
}

func (e *TarError) Error() string {
	if e.Entry == "" {
		return "tar stream: " + e.Err.Error()
	}
	return fmt.Sprintf("tar entry %q: %v", e.Entry, e.Err)
}

func (e *TarError) Unwrap() error { return e.Err }
