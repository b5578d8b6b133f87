package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"midge/client"
	"midge/terminal"
)

// targetFile gives where targets are saved. Without a home they are nowhere, which
// matters only to those who want to save one.
func (p *program) targetFile() client.TargetFile {
	var file client.TargetFile
	if config, err := os.UserConfigDir(); err == nil {
		file.Path = filepath.Join(config, "midge", "targets.yml")
	}
	if home, err := os.UserHomeDir(); err == nil {
		file.FlyPath = filepath.Join(home, ".flyrc")
	}
	return file
}

// targetName gives what the command line or the environment chooses, "" for nothing.
func (p *program) targetName() string {
	if p.flags.target != "" {
		return p.flags.target
	}
	name, _ := p.lookupEnv("MIDGE_TARGET")
	return name
}

// client gives a client of the chosen target.
func (p *program) client() (*client.Client, error) {
	options, err := p.options()
	if err != nil {
		return nil, err
	}
	return p.measurement.client(options)
}

// withClient gives what a command runs that needs a client of the chosen target and no arguments.
func (p *program) withClient(run func(*cobra.Command, *client.Client) error) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, _ []string) error {
		c, err := p.client()
		if err != nil {
			return err
		}
		defer c.Close()
		return run(command, c)
	}
}

// options gives those of a client of the chosen target.
func (p *program) options() (client.Options, error) {
	name, target, err := p.targetFile().Select(p.targetName())
	if err != nil {
		return client.Options{}, err
	}
	return p.optionsOf(name, target)
}

// clientOf gives a client of a target, as the flags and the environment change it.
func (p *program) clientOf(name string, target client.Target) (*client.Client, error) {
	options, err := p.optionsOf(name, target)
	if err != nil {
		return nil, err
	}
	return p.measurement.client(options)
}

// optionsOf gives those of a client of a target, as the flags and the environment change them.
func (p *program) optionsOf(name string, target client.Target) (client.Options, error) {
	options, err := target.Options(name)
	if err != nil {
		return client.Options{}, err
	}
	if err := p.environmentToken(&options); err != nil {
		return client.Options{}, err
	}
	if p.flags.team != "" {
		options.Team = p.flags.team
	}
	options.Notify = p.notify
	if p.flags.verbose {
		options.Wrap = func(next http.RoundTripper) http.RoundTripper { return verboseTransport{next, p.stderr} }
	}
	return options, nil
}

// environmentToken has a client use the token that the environment gives, if it does.
func (p *program) environmentToken(options *client.Options) error {
	if token, _ := p.lookupEnv("MIDGE_TOKEN"); token != "" {
		options.Token, options.TokenName = token, "the token in MIDGE_TOKEN"
		return nil
	}
	file, _ := p.lookupEnv("MIDGE_TOKEN_FILE")
	if file == "" {
		return nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("the file that MIDGE_TOKEN_FILE names cannot be read: %w", err)
	}
	token, err := client.ParseToken(string(content))
	if err != nil {
		return fmt.Errorf("the file %s, which MIDGE_TOKEN_FILE names, should have a token and nothing else", file)
	}
	options.Token, options.TokenName = token.Value, "the token in "+file
	return nil
}

// notify says on one line that the server went away and came back.
func (p *program) notify(notice client.Notice) {
	switch {
	case p.flags.quiet:
	case notice.Lost == nil:
		p.waiting.Store(false)
		fmt.Fprintf(p.stderr, " it is back after %s\n", notice.For.Round(100*time.Millisecond))
	default:
		reason := "it is busy"
		var unreachable *client.UnreachableError
		var refused *client.ServerError
		switch {
		case errors.As(notice.Lost, &unreachable):
			reason = unreachable.Reason
		case errors.As(notice.Lost, &refused) && refused.Message != "":
			reason = terminal.Line(refused.Message) // as that one asks for too much, and when to try again
		}
		p.waiting.Store(true)
		fmt.Fprintf(p.stderr, "waiting for the server (%s) ...", reason)
	}
}

// verboseTransport tells of each request and the status of its answer.
type verboseTransport struct {
	next http.RoundTripper
	told *stream
}

func (t verboseTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	began := time.Now()
	response, err := t.next.RoundTrip(request)
	answer := ""
	if err != nil {
		answer = err.Error()
	} else {
		answer = response.Status
	}
	fmt.Fprintf(t.told, "> %s %s < %s (%s)\n", request.Method, request.URL.RequestURI(), answer, time.Since(began).Round(time.Microsecond))
	return response, err
}
