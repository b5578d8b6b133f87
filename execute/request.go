package execute

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"midge/api"
)

// Request is what a command line asks to be executed.
type Request struct {
	// Config is the path of the task file, or - for Stdin; "" is that of the build which
	// Repeat repeats.
	Config string
	// Stdin is what is read for a task file, or a file of variables, that is called -; nil
	// for nothing.
	Stdin io.Reader
	// Args are appended to those of the task's command.
	Args []string
	// Variables for the task file, as api.ParseVariables takes them.
	Vars, YAMLVars []string
	// VarFiles are paths of YAML files of variables.
	VarFiles []string

	// Inputs names directories to be sent, or as @BUILD/OUTPUT the outputs of earlier builds.
	// An input that the task needs and that has the name of Directory is taken from there
	// when it is not among them.
	Inputs []Mapping
	// InputMapping gives the task's input of a name the artifact of another name.
	InputMapping map[string]string
	UploadOptions
	// Outputs names directories to put outputs into; they are made if they are not there.
	Outputs []Mapping
	// Delete removes from them what the outputs do not have.
	Delete bool

	// Image is the task's image in place of the task file's: an archive or a directory,
	// @BUILD/OUTPUT, the name of one in a registry, or of an input of the job that FromJob
	// names; "" for that of the task file.
	Image string

	Privileged bool
	Hermetic   bool     // without a network
	Tags       []string // of the worker
	// TTY asks for a terminal for the task. A Concourse gives one in any case.
	TTY bool
	// Hold is how long the task's container is kept when it does not succeed, as
	// api.TaskPlan has it. A Concourse does as it likes.
	Hold string
	// Background leaves the build running as soon as it is created.
	Background bool

	// Directory is what paths are relative to, in absolute terms.
	Directory string
	// LookupEnv is os.LookupEnv, or stands for it: params are overridden by it.
	LookupEnv func(name string) (string, bool)

	earlier *earlierBuild // that is repeated; nil for none
	job     *job          // whose inputs the task has; nil for none
}

// Mapping is a name and the path of a directory that it stands for.
type Mapping struct {
	Name string
	Path string
}

// ParseMapping reads NAME=WHAT, as flag was given it.
func ParseMapping(flag, what, text string) (Mapping, error) {
	name, path, found := strings.Cut(text, "=")
	if !found || name == "" || path == "" {
		return Mapping{}, fmt.Errorf("%s %s is not understood; write it as %s NAME=%s", flag, text, flag, what)
	}
	return Mapping{Name: name, Path: path}, nil
}

// path gives a path of the request in absolute terms.
func (r Request) path(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(r.Directory, path)
}

// taskConfig reads the task file and applies what the request changes in it.
func (r Request) taskConfig() (api.TaskConfig, error) {
	if r.Config == "" && r.earlier != nil {
		return r.earlier.config(r), nil
	}
	content, err := r.readFile("task file", "-c", r.Config)
	if err != nil {
		return api.TaskConfig{}, err
	}
	files := make([]api.VariablesFile, len(r.VarFiles))
	for i, path := range r.VarFiles {
		files[i].Name = path
		if files[i].Data, err = r.readFile("file of variables", "-l", path); err != nil {
			return api.TaskConfig{}, err
		}
	}
	variables, err := api.ParseVariables(r.Vars, r.YAMLVars, files)
	if err != nil {
		return api.TaskConfig{}, err
	}
	parse := api.ParseTaskConfig
	if r.Image != "" {
		parse = api.ParseTaskConfigForImage
	}
	config, err := parse(r.Config, content, variables)
	if err != nil {
		return api.TaskConfig{}, err
	}
	config.Params = api.OverrideParams(config.Params, r.LookupEnv)
	config.Run.Args = append(config.Run.Args, r.Args...)
	return config, nil
}

// readFile reads a small file that a flag names, or - for stdin. What is too large for it is
// not read to its end.
func (r Request) readFile(kind, flag, path string) ([]byte, error) {
	if path == "-" && r.Stdin != nil {
		return readSmall(r.Stdin, "the "+kind)
	}
	info, err := os.Stat(r.path(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no %s %s; give the path of one with %s", kind, path, flag)
	case err != nil:
		return nil, fmt.Errorf("the %s cannot be read: %w", kind, err)
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory; give the path of a %s with %s", path, kind, flag)
	}
	file, err := os.Open(r.path(path))
	if err != nil {
		return nil, fmt.Errorf("the %s cannot be read: %w", kind, err)
	}
	defer file.Close()
	return readSmall(file, "the "+kind)
}

// readSmall reads no more of what is called so than tells that it is too large.
func readSmall(from io.Reader, what string) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(from, api.MaxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", what, err)
	}
	return content, nil
}
