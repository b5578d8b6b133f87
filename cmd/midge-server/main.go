// Midge-server serves builds: see midge-server --help.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"midge/api"
	"midge/coredump"
	"midge/priority"
	"midge/runtime/runc/rootless"
	"midge/server"
)

func main() {
	manager := findServiceManager()
	if err := newCommand(os.LookupEnv).Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "midge-server:", err)
		if err := manager.tellFailure(err); err != nil {
			fmt.Fprintln(os.Stderr, "midge-server:", err)
		}
		os.Exit(1)
	}
}

const longHelp = `Midge-server runs tasks in containers, for midge and for fly.

Every setting is a flag, or an environment variable (--data-dir is MIDGE_DATA_DIR), or a
field of the YAML file that --config names (data-dir: /srv/midge). A flag goes before a
variable, a variable before the file. Where a setting may be given more than once a
variable has its values separated by commas, and the file a list. Teams, and who may do
what in them, and workers, when there are several, are in the file alone: see
docs/server.md.

The server goes on where another on the same data dir has stopped. SIGTERM and SIGINT stop
it and leave containers running; a second one stops it at once.`

func newCommand(lookupEnv func(string) (string, bool)) *cobra.Command {
	s := &settings{}
	command := &cobra.Command{
		Use:           "midge-server",
		Short:         "Run tasks in containers, for midge and for fly",
		Long:          longHelp,
		Version:       api.Version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := s.readSources(command.Flags(), lookupEnv); err != nil {
				return err
			}
			if s.hasContainersHere() {
				if err := rootless.Enter(); err != nil {
					return err
				}
			}
			return run(command.Context(), s)
		},
	}
	command.CompletionOptions.DisableDefaultCmd = true
	command.AddCommand(newVerifyCommand(lookupEnv), newBackupCommand(lookupEnv), newRestoreCommand(lookupEnv))
	s.addTo(command.Flags())
	command.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		if unknown := (*pflag.NotExistError)(nil); errors.As(err, &unknown) {
			return fmt.Errorf("there is no setting --%s%s", unknown.GetSpecifiedName(), nearest(command.Flags(), unknown.GetSpecifiedName()))
		}
		if invalid := (*pflag.InvalidValueError)(nil); errors.As(err, &invalid) {
			return fmt.Errorf("the setting --%s: %w", invalid.GetFlag().Name, badValue(invalid))
		}
		return err
	})
	return command
}

// run serves until a signal comes or something fails.
func run(ctx context.Context, s *settings) error {
	// From here on a signal shuts down what there is.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if err := coredump.Forbid(); err != nil {
		return err
	}
	if err := priority.Raise(); err != nil {
		return err
	}
	manager := findServiceManager()
	if err := hideServiceManager(); err != nil {
		return err
	}
	config, err := s.config()
	if err != nil {
		return err
	}
	slog.SetDefault(config.Log) // of packages that are given none
	started, err := server.New(ctx, config)
	if err != nil {
		return err
	}
	config.Log.Info("serving", "version", api.Version, "url", started.URL(), "socket", config.Socket,
		"data_dir", config.DataDir, "workers", started.Workers())
	served := make(chan error, 1)
	go func() { served <- started.Serve() }()
	if err := manager.tell("READY=1\nSTATUS=Serving " + cmp.Or(started.URL(), config.Socket)); err != nil {
		config.Log.Warn("the service manager does not know that the server serves", "error", err)
	}
	var failed error
	select {
	case received := <-signals:
		becomes := "builds that run go on"
		if config.DestroyOnExit {
			becomes = "containers are destroyed, and builds that run end with an error"
		}
		config.Log.Info("shutting down; "+becomes, "signal", received.String())
		if err := manager.tell("STOPPING=1"); err != nil {
			config.Log.Warn("the service manager does not know that the server stops", "error", err)
		}
		go func() {
			config.Log.Warn("leaving at once", "signal", (<-signals).String())
			os.Exit(1)
		}()
	case failed = <-served:
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.shutdownTimeout)
	defer cancel()
	if err := started.Shutdown(ctx); err != nil && failed == nil {
		failed = fmt.Errorf("shut down: %w", err)
	}
	return failed
}
