package hijack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"midge/runtime"
)

// record is what a session is found again by.
type record struct {
	ID        string     `json:"id"`
	Client    string     `json:"client"` // who started it
	Container string     `json:"container"`
	TeamName  string     `json:"team_name"`
	BuildID   int        `json:"build_id"`
	PlanID    string     `json:"plan_id"`
	StepName  string     `json:"step_name"`
	User      string     `json:"user"`
	From      string     `json:"from"`
	Command   []string   `json:"command"`
	TTY       bool       `json:"tty"`
	Began     time.Time  `json:"began"`
	Ended     *time.Time `json:"ended,omitempty"` // set once the observer was told
	Input     inputState `json:"input"`
}

func newRecord(id, client string, spec runtime.ProcessSpec, place Place) record {
	return record{
		ID: id, Client: client, Container: place.Container.Handle(),
		TeamName: place.TeamName, BuildID: place.BuildID, PlanID: place.PlanID, StepName: place.StepName,
		User: place.User, From: place.From,
		Command: append([]string{spec.Path}, spec.Args...), TTY: spec.TTY != nil,
		Began: time.Now().Round(0), Input: inputState{Writer: client},
	}
}

const recordSuffix = ".json"

func makeRecordDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of hijack sessions: %w", err)
	}
	return nil
}

func (s *Sessions) recordFile(id string) string {
	return filepath.Join(s.config.Dir, id+recordSuffix)
}

// save writes a record, over what was there.
func (s *Sessions) save(r record) error {
	encoded, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the record of hijack session %s: %w", r.ID, err)
	}
	if err := replaceFile(s.recordFile(r.ID), encoded); err != nil {
		return fmt.Errorf("write the record of hijack session %s: %w", r.ID, err)
	}
	return nil
}

// replaceFile writes a file beside and moves it into place. It does not wait for
// the disk: a machine that loses power has lost the processes too.
func replaceFile(name string, contents []byte) error {
	beside, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = beside.Write(contents)
	if err = errors.Join(err, beside.Close()); err == nil {
		err = os.Rename(beside.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(beside.Name()))
	}
	return nil
}

func (s *Sessions) remove(id string) error {
	if err := os.Remove(s.recordFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the record of a hijack session: %w", err)
	}
	return nil
}

// Restore finds the sessions again that an earlier server left. Those whose
// container or process is gone are over, and the observer is told. It comes before
// Serve: a client that came back earlier would be told that its session is gone.
// What cannot be read or reached is in the error; the other sessions are there all the same.
func (s *Sessions) Restore(ctx context.Context) error {
	files, err := os.ReadDir(s.config.Dir)
	if err != nil {
		return fmt.Errorf("read the directory of hijack sessions: %w", err)
	}
	var errs []error
	for _, file := range files {
		id, ok := strings.CutSuffix(file.Name(), recordSuffix)
		if !ok {
			continue
		}
		if _, known := s.Session(id); known {
			continue
		}
		if err := s.restore(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("restore hijack session %s: %w", id, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Sessions) restore(ctx context.Context, id string) error {
	encoded, err := os.ReadFile(s.recordFile(id))
	if err != nil {
		return err
	}
	var r record
	if err := json.Unmarshal(encoded, &r); err != nil || r.ID != id {
		return errors.Join(fmt.Errorf("its record is damaged: %w", err), s.remove(id))
	}
	container, process, err := s.find(ctx, r)
	var missing *runtime.NotFoundError
	if errors.As(err, &missing) {
		if r.Ended == nil {
			s.config.Observer.SessionEnded(r.info(), End{Message: fmt.Sprintf("the %s is gone", missing.Kind)})
		}
		return s.remove(id)
	}
	if err != nil {
		return err
	}
	s.add(r, container, process).watch()
	return nil
}

func (s *Sessions) find(ctx context.Context, r record) (runtime.Container, runtime.Process, error) {
	container, err := s.config.Find(ctx, r.Container)
	if err != nil {
		return nil, nil, err
	}
	process, err := container.Attach(ctx, "hijack-"+r.ID)
	return container, process, err
}
