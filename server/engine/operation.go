package engine

import "time"

// An Operation is something that a worker does with a container.
type Operation string

const (
	CreateContainer  Operation = "create container"
	StartTask        Operation = "start task"
	DestroyContainer Operation = "destroy container"
)

// operate has a worker do something, and tells how long that took.
func (e *Engine) operate(worker string, operation Operation, do func() error) error {
	began := time.Now()
	err := do()
	e.options.Operated(worker, operation, time.Since(began), err)
	return err
}
