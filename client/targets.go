package client

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/gofrs/flock"

	"midge/api"
	"midge/terminal"
)

// LocalTarget is the target that needs no saving: the socket of this machine's server.
const LocalTarget = "local"

// LocalSocket is where the server of a machine listens that root has started.
const LocalSocket = "/run/midge/midge.sock"

// OwnSocket is where a server listens that an ordinary user has started: in the user's
// XDG_RUNTIME_DIR, which getenv gives. It is "" without one.
func OwnSocket(getenv func(string) string) string {
	dir := getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "midge", "midge.sock")
}

// localURL is where LocalTarget is unless it was saved otherwise: the user's own server
// if there is one, else the machine's.
func localURL() string {
	if own := OwnSocket(os.Getenv); own != "" {
		if _, err := os.Stat(own); err == nil {
			return "unix://" + own
		}
	}
	return "unix://" + LocalSocket
}

// Target is a server that was logged in to, or that needs no login.
type Target struct {
	URL        string       `yaml:"api"`
	Team       string       `yaml:"team,omitempty"`
	Insecure   bool         `yaml:"insecure,omitempty"`
	Token      *TargetToken `yaml:"token,omitempty"`
	CACert     string       `yaml:"ca_cert,omitempty"` // PEM
	ClientCert string       `yaml:"client_cert_path,omitempty"`
	ClientKey  string       `yaml:"client_key_path,omitempty"`

	// Fly is true of a target that was read from fly's file, which is never written.
	Fly bool `yaml:"-"`
}

// TargetToken is a saved token.
type TargetToken struct {
	Type    string     `yaml:"type"`
	Value   string     `yaml:"value"`
	Expires *time.Time `yaml:"expires,omitempty"` // nil when the server did not say
}

// Options gives the options of a client of the target, which the user calls name.
func (t Target) Options(name string) (Options, error) {
	options := Options{
		URL:    t.URL,
		Team:   t.Team,
		Target: name,
		TLS:    TLS{CACert: t.CACert, Insecure: t.Insecure},
	}
	if t.Token != nil {
		options.Token = t.Token.Value
	}
	if t.ClientCert == "" && t.ClientKey == "" {
		return options, nil
	}
	cert, certErr := os.ReadFile(t.ClientCert)
	key, keyErr := os.ReadFile(t.ClientKey)
	if err := errors.Join(certErr, keyErr); err != nil {
		return Options{}, &ClientCertificateError{Err: err}
	}
	options.TLS.Cert, options.TLS.Key = string(cert), string(key)
	return options, nil
}

// OfTarget gives a client of a target as it was saved.
func OfTarget(name string, target Target) (*Client, error) {
	options, err := target.Options(name)
	if err != nil {
		return nil, err
	}
	return New(options)
}

// TargetFile is where targets are saved. Many processes may use one file at once.
type TargetFile struct {
	// Path is midge's own file. It need not exist; "" is a place for none.
	Path string
	// FlyPath is fly's; it is read, and never written. "" for none.
	FlyPath string
}

// targetDocument is the file's content; midge's and fly's have the same form.
type targetDocument struct {
	Targets map[string]Target `yaml:"targets"`
}

// Load gives the targets of both files by name; where both have a name, midge's own counts.
func (f TargetFile) Load() (map[string]Target, error) {
	targets, err := readTargets(f.Path)
	if err != nil || f.FlyPath == "" {
		return targets, err
	}
	others, err := readTargets(f.FlyPath)
	if err != nil {
		return nil, err
	}
	for name, target := range others {
		if _, own := targets[name]; !own {
			target.Fly = true
			targets[name] = target
		}
	}
	return targets, nil
}

// Select gives the target that name chooses, and its name. A name that is a URL is
// that server. When name is "" it is the only saved one, else the local one: fly's
// targets are used only when they are named.
func (f TargetFile) Select(name string) (string, Target, error) {
	if strings.Contains(name, "://") {
		return "", Target{URL: name}, nil
	}
	targets, err := f.Load()
	if err != nil {
		return "", Target{}, err
	}
	if name == "" {
		name = onlyTarget(targets)
	}
	if target, ok := targets[name]; ok {
		return name, target, nil
	}
	if name == LocalTarget {
		return name, Target{URL: localURL()}, nil
	}
	return "", Target{}, &UnknownTargetError{Name: name, Known: slices.Sorted(maps.Keys(targets))}
}

// onlyTarget names the only one of midge's own targets, or LocalTarget.
func onlyTarget(targets map[string]Target) string {
	only := ""
	for name, target := range targets {
		switch {
		case target.Fly:
		case only != "":
			return LocalTarget
		default:
			only = name
		}
	}
	if only == "" {
		return LocalTarget
	}
	return only
}

// Update changes midge's own targets by change, while no other process does. What
// change leaves in the map is saved; an error of it leaves the file as it was.
func (f TargetFile) Update(change func(targets map[string]Target) error) error {
	if f.Path == "" {
		return errors.New("there is no place for saved targets; set HOME")
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return fmt.Errorf("make the directory of the targets file: %w", err)
	}
	lock := flock.New(f.Path+".lock", flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("lock the targets file: %w", err)
	}
	defer lock.Unlock()
	targets, err := readTargets(f.Path)
	if err != nil {
		return err
	}
	if err := change(targets); err != nil {
		return err
	}
	content, err := yaml.Marshal(targetDocument{Targets: targets})
	if err != nil {
		return fmt.Errorf("encode the targets: %w", err)
	}
	if err := replaceFile(f.Path, content); err != nil {
		return fmt.Errorf("save the targets: %w", err)
	}
	return nil
}

// readTargets reads one file; one that is not there has no targets.
func readTargets(path string) (map[string]Target, error) {
	content, err := os.ReadFile(path)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		return map[string]Target{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the targets file: %w", err)
	}
	var document targetDocument
	if err := yaml.Unmarshal(content, &document); err != nil {
		return nil, &TargetFileError{Path: path, Err: err}
	}
	if document.Targets == nil {
		return map[string]Target{}, nil
	}
	return document.Targets, nil
}

// replaceFile puts content at path in one step, readable by its owner alone. A path
// that is a symbolic link stays one.
func replaceFile(path string, content []byte) error {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	beside, err := os.CreateTemp(filepath.Dir(path), ".targets-*")
	if err != nil {
		return err
	}
	defer os.Remove(beside.Name())
	_, err = beside.Write(content)
	err = errors.Join(err, beside.Sync(), beside.Close())
	if err != nil {
		return err
	}
	return os.Rename(beside.Name(), path)
}

// TargetFileError tells that a targets file cannot be understood. It is left as it is.
type TargetFileError struct {
	Path string
	Err  error
}

func (e *TargetFileError) Error() string {
	first, _, _ := strings.Cut(e.Err.Error(), "\n")
	return fmt.Sprintf("%s is no file of targets (%s); correct it, or move it away and log in again", e.Path, terminal.Line(first))
}

func (e *TargetFileError) Unwrap() error { return e.Err }

// UnknownTargetError tells that no target of that name is saved.
type UnknownTargetError struct {
	Name  string
	Known []string // sorted
}

func (e *UnknownTargetError) Error() string {
	what := fmt.Sprintf("there is no target %q", e.Name)
	if nearest := api.Nearest(e.Name, e.Known); nearest != "" {
		what += fmt.Sprintf("; the nearest is %q", nearest)
	} else if len(e.Known) > 0 {
		what += "; those saved are " + strings.Join(e.Known, ", ")
	}
	return what + fmt.Sprintf("; log in to a new one with: midge -t %s login -c URL", e.Name)
}
