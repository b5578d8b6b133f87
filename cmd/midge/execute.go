package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
	"midge/execute"
	"midge/hijack"
	"midge/terminal"
	"midge/trace"
)

func newExecuteCommand(p *program) *cobra.Command {
	var request execute.Request
	var inputs, outputs, mappings []string
	var from, job, hold string
	var logFailed bool
	var uploads uploadFlags
	command := &cobra.Command{
		Use:     "execute -c TASK [flags] [-- ARGS...]",
		Aliases: []string{"e"},
		GroupID: groupBuilds,
		Short:   "Run a task with files of yours",
		Long: `Run a task with files of yours: send its inputs, show its output, bring its outputs
home, and exit with its status.

An input that has the name of the current directory is taken from there when it is not
given. Only what the server lacks of an input is sent, and of an output only what the
directory lacks is fetched. Files that git ignores, or a .midgeignore file names, stay here.
A param of the task file is overridden by an environment variable of the same name. The first Ctrl-C aborts the build and waits for it
to end, the second leaves at once.

The exit status is the task's own; 1 if the build failed without one, 2 if it errored, 3 if
it was aborted.`,
		Example: `  midge execute -c task.yml -i src=. -o report=./report
  midge execute -c task.yml -i src=. --dry-run       # what would be sent, and what is ignored
  midge execute -c deploy.yml -i built=@12/bin       # with what build 12 has left
  midge execute -c task.yml --image golang:1.26      # or image.tar, of docker save
  midge execute --from 12 -i src=.                   # build 12 again, but for what changed in src
  midge execute -c task.yml -v branch=main -l vars.yml -- -run TestLogin`,
		Args: func(command *cobra.Command, args []string) error {
			switch {
			case command.ArgsLenAtDash() == 0 || len(args) == 0:
			case request.Config == "" && from == "":
				return fmt.Errorf("name the task file with -c, like: midge execute -c %s", terminal.ShellWord(args[0]))
			default:
				return fmt.Errorf("%q is no flag; arguments for the task go after --", args[0])
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) (err error) {
			if request.Config == "" && from == "" {
				return errors.New("name the task file with -c, like: midge execute -c task.yml")
			}
			basis, err := parseBasis(from, job)
			if err != nil {
				return err
			}
			if request.Inputs, err = parseMappings("-i", "PATH", inputs); err != nil {
				return err
			}
			if request.Outputs, err = parseMappings("-o", "PATH", outputs); err != nil {
				return err
			}
			if request.InputMapping, err = parseNames("-m", mappings); err != nil {
				return err
			}
			request.Args, request.Directory, request.LookupEnv = args, p.directory, p.lookupEnv
			request.Stdin = p.stdin
			request.TTY = p.stdout.terminal
			if request.Hold, err = p.holdTime(hold); err != nil {
				return err
			}
			view := newExecutionView(p)
			request.UploadOptions = uploads.options(view)
			view.log.silent = logFailed
			if p.flags.json && !request.Background {
				view.records = newRecorder(p.stdout)
			}
			return p.execute(command.Context(), request, basis, view)
		},
	}
	flags := command.Flags()
	flags.StringVarP(&request.Config, "config", "c", "", "the task `file` to execute, or - for stdin")
	chosenVar(flags, &from, "from", "", "execute an earlier build again, as it was but for what is given: its `id`")
	flags.StringArrayVarP(&inputs, "input", "i", nil, "a directory to send as an input, or @BUILD/OUTPUT for what a build has left: `NAME=PATH`")
	flags.StringArrayVarP(&mappings, "input-mapping", "m", nil, "take the task's input NAME from the input of another name: `NAME=OTHER`")
	chosenVar(flags, &job, "inputs-from", "j", "take the inputs that are not given from this `PIPELINE/JOB`, on a Concourse")
	flags.StringArrayVarP(&outputs, "output", "o", nil, "a directory to bring an output home to: `NAME=PATH`")
	uploads.add(flags)
	flags.BoolVar(&request.Delete, "delete", false, "remove from the outputs' directories what the outputs do not have")
	chosenVar(flags, &request.Image, "image", "", "run in this `image` and not in the task file's: a file or directory with one, @BUILD/OUTPUT, the name of one in a registry, or of an input of the job of --inputs-from")
	flags.BoolVarP(&request.Privileged, "privileged", "p", false, "run the task with all rights of root")
	flags.BoolVar(&request.Hermetic, "hermetic", false, "run the task without a network")
	flags.StringArrayVar(&request.Tags, "tag", nil, "run on a worker with this `tag`")
	flags.StringArrayVarP(&request.Vars, "var", "v", nil, "set a variable of the task file to a string: `NAME=STRING`")
	flags.StringArrayVarP(&request.YAMLVars, "yaml-var", "y", nil, "set a variable of the task file to a YAML value: `NAME=YAML`")
	flags.StringArrayVarP(&request.VarFiles, "load-vars-from", "l", nil, "set variables of the task file from a YAML `file`")
	flags.StringVar(&hold, "hold", "", "keep the container this `long` if the task does not succeed, 0 not at all (default as the server does on a terminal, else 0)")
	flags.BoolVarP(&request.Background, "background", "b", false, "leave when the build is created, and print its id")
	flags.BoolVar(&logFailed, "log-failed", false, "of the output, show only the last lines of a build that does not succeed")
	return command
}

// basis is what an execution starts from besides its task file: an earlier build, or a
// job of a Concourse. The zero value is neither.
type basis struct {
	build         int
	pipeline, job string
}

// parseBasis reads the values of --from and --inputs-from.
func parseBasis(from, job string) (b basis, err error) {
	switch {
	case from != "" && job != "":
		return basis{}, errors.New("--from takes the inputs of a build, --inputs-from those of a job: choose one")
	case from != "":
		b.build, err = parseBuildID(from)
	case job != "":
		b.pipeline, b.job, err = pipelineAnd("--inputs-from", "JOB", job)
	}
	return b, err
}

// parseMappings reads the NAME=WHATs of a flag.
func parseMappings(flag, what string, texts []string) ([]execute.Mapping, error) {
	var mappings []execute.Mapping
	for _, text := range texts {
		mapping, err := execute.ParseMapping(flag, what, text)
		if err != nil {
			return nil, err
		}
		mappings = append(mappings, mapping)
	}
	return mappings, nil
}

// parseNames reads the NAME=OTHERs of a flag.
func parseNames(flag string, texts []string) (map[string]string, error) {
	mappings, err := parseMappings(flag, "OTHER", texts)
	names := make(map[string]string, len(mappings))
	for _, mapping := range mappings {
		names[mapping.Name] = mapping.Path
	}
	return names, err
}

// execute runs a task and shows how it goes.
func (p *program) execute(ctx context.Context, request execute.Request, from basis, view *executionView) error {
	defer view.close()
	execution, c, err := p.prepare(ctx, request, from)
	if err != nil {
		return p.conclude(ctx, c, execute.Outcome{}, err, view)
	}
	defer c.Close()
	ctx, abort, stop := interrupts(ctx)
	defer stop()
	if request.DryRun {
		err := execution.Estimate(ctx, c, view.observe)
		return p.conclude(ctx, c, execute.Outcome{}, err, view)
	}
	outcome, err := execution.Run(ctx, c, abort, view.observe)
	view.close()
	if request.Background && err == nil {
		if !p.flyNamed() { // which has said where the build is
			fmt.Fprintln(p.stdout, outcome.BuildID)
		}
		return nil
	}
	if view.records == nil {
		p.sayHeld(ctx, c, outcome)
	}
	return p.conclude(ctx, c, outcome, err, view)
}

// conclude says what remains to be said of a build that was followed, and gives the
// error by which the program exits with its status.
func (p *program) conclude(ctx context.Context, c *client.Client, outcome execute.Outcome, err error, view *executionView) error {
	err = outcomeError(outcome, err)
	if view.log.silent && outcome.Status.Finished() && outcome.Status != api.StatusSucceeded {
		for _, line := range outcome.LastLines {
			fmt.Fprintln(p.stdout, line)
		}
	}
	if view.records != nil {
		return errors.Join(err, view.records.end(ctx, c, outcome, err))
	}
	return err
}

// prepare reads what is to be executed. Mistakes in that come before those of the target.
func (p *program) prepare(ctx context.Context, request execute.Request, from basis) (*execute.Execution, *client.Client, error) {
	if from != (basis{}) {
		c, err := p.client()
		if err != nil {
			return nil, nil, err
		}
		var execution *execute.Execution
		if from.build != 0 {
			execution, err = execute.Repeat(ctx, c, from.build, request)
		} else {
			execution, err = execute.FromJob(ctx, c, from.pipeline, from.job, request)
		}
		if err != nil {
			c.Close()
		}
		return execution, c, err
	}
	_, span := trace.StartSpan(ctx, "config")
	execution, err := execute.Prepare(request)
	span.End(err)
	if err != nil {
		return nil, nil, err
	}
	c, err := p.client()
	return execution, c, err
}

// outcomeError gives the error by which the program exits with a build's status, and
// tells of err too. A build that did not succeed counts more than an output that could
// not be brought home.
func outcomeError(outcome execute.Outcome, err error) error {
	status := 0
	if outcome.Status.Finished() {
		status = outcome.ExitStatus()
	}
	switch {
	case status == 0:
		return err
	case err == nil:
		return exitStatus(status)
	}
	return &failure{err, status}
}

// sameInterrupt is how soon after the first an interrupt is no second one.
var sameInterrupt = hijack.SameSignal

// interrupts closes abort at the first interrupt and ends the context at the second.
func interrupts(parent context.Context) (ctx context.Context, abort <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	first := make(chan struct{})
	go heedInterrupts(ctx, signals, func() { close(first) }, func() { cancel(errLeft) })
	return ctx, first, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// heedInterrupts calls abort at the first of signals and leave at the second, unless ctx
// ends before.
func heedInterrupts(ctx context.Context, signals <-chan os.Signal, abort, leave func()) {
	var aborted time.Time
	for {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		switch {
		case aborted.IsZero():
			aborted = time.Now()
			abort()
		case time.Since(aborted) >= sameInterrupt:
			leave()
			return
		}
	}
}
