// Command midge runs tasks from a working tree in containers of a server, and lets
// people look into them. One file a command: flags in, one call, result out.
package main

import (
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"midge/coredump"
)

func main() {
	// A token is in its memory. That a limit could not be lowered does not happen.
	_ = coredump.Forbid()
	// net/http logs what strange servers do; what of it matters is in an error.
	log.SetOutput(io.Discard)
	if _, set := os.LookupEnv("GOMEMLIMIT"); !set {
		// A large transfer makes much garbage of few large buffers, on a machine that does
		// other things as well. What it really needs it gets beyond that, only slower.
		debug.SetMemoryLimit(112 << 20)
	}
	os.Exit(run())
}

// run is the whole program but for its end.
func run() int {
	directory, err := os.Getwd()
	p := &program{
		name:      programName(os.Args[0]),
		args:      os.Args[1:],
		stdin:     os.Stdin,
		stdout:    newStream(os.Stdout, os.LookupEnv),
		stderr:    newStream(os.Stderr, os.LookupEnv),
		directory: directory,
		lookupEnv: os.LookupEnv,
	}
	p.heedQuit()
	defer p.leaveQuit()
	command := newRootCommand(p)
	if err != nil {
		return p.fail(err)
	}
	command.SetArgs(p.args)
	command.SetIn(p.stdin)
	command.SetOut(p.stdout)
	command.SetErr(p.stderr)
	executed, err := command.ExecuteC()
	if errors.As(err, new(*pflag.InvalidValueError)) || errors.As(err, new(*pflag.NotExistError)) {
		err = flagError(command, err) // of a flag before the command cobra does not ask for that
	}
	if err := p.checked(executed, withLost(err, p.stdout)); err != nil {
		return p.fail(err)
	}
	return 0
}

// program is one run of midge: its streams, where it was started, and the flags that
// every command has.
type program struct {
	name      string // by which it was started
	args      []string
	stdin     *os.File
	stdout    *stream
	stderr    *stream
	directory string
	lookupEnv func(name string) (string, bool)

	root  *cobra.Command
	flags globalFlags
	// global has what sets them, globalLong the same without short names.
	global, globalLong *pflag.FlagSet
	// measurement is of this command's time and cost, nil when nobody wants to know.
	measurement *measurement
	// quits gets the signal that ends the program at once.
	quits chan os.Signal
	// waiting tells that the last line of stderr goes on when the server is back.
	waiting atomic.Bool
}

// globalFlags are those that every command has.
type globalFlags struct {
	target       string
	team         string
	json         bool
	quiet        bool
	verbose      bool
	tableHeaders bool
	trace        string // tree, json or ""
	traceFile    string
	usage        string // table, json or ""
}

// executable gives the path of this program, links resolved.
func executable() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}
