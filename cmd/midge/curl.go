package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// curlFlags are those of curl's that this command knows.
type curlFlags struct {
	method  string
	headers []string
	data    string
	include bool
}

func (f *curlFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.method, "request", "X", f.method, "the `method`")
	flags.StringArrayVarP(&f.headers, "header", "H", f.headers, "send this `header`, like \"Accept: text/html\"")
	flags.StringVarP(&f.data, "data", "d", f.data, "send this `text`, or with @FILE what is in a file; the method is then POST")
	flags.BoolVarP(&f.include, "include", "i", f.include, "show the answer's status and headers too")
}

func newCurlCommand(p *program) *cobra.Command {
	var flags curlFlags
	command := &cobra.Command{
		Use:     "curl PATH [flags]",
		Aliases: []string{"c"},
		GroupID: groupOther,
		Short:   "Send a request of your own to the server",
		Long:    "Send a request of your own to the server, as the user you are, and print its answer.",
		Example: `  midge curl /api/v1/info
  midge curl /api/v1/builds/12/abort -X PUT`,
		Args: cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			// fly takes flags after two dashes as well.
			if dash := command.ArgsLenAtDash(); dash >= 0 {
				more := pflag.NewFlagSet("curl", pflag.ContinueOnError)
				flags.add(more)
				if err := more.Parse(args[dash:]); err != nil {
					return flagError(command, err)
				}
				args = append(args[:dash:dash], more.Args()...)
			}
			if len(args) != 1 {
				return errors.New("give the path of one request, like: midge curl /api/v1/info")
			}
			return p.curl(command.Context(), args[0], flags)
		},
	}
	flags.add(command.Flags())
	return command
}

// curl sends one request and prints its answer. An answer that is no good one makes the
// command fail, but is printed all the same.
func (p *program) curl(ctx context.Context, path string, flags curlFlags) error {
	header := http.Header{}
	for _, line := range flags.headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return fmt.Errorf("-H %q is no header; write one like \"Accept: text/html\"", line)
		}
		header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	var body []byte
	if flags.data != "" {
		body = []byte(flags.data)
		if file, ok := strings.CutPrefix(flags.data, "@"); ok {
			content, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("read what is to be sent: %w", err)
			}
			body = content
		}
	}
	if flags.method == "" {
		flags.method = http.MethodGet
		if body != nil {
			flags.method = http.MethodPost
		}
	}
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	response, err := c.Do(ctx, flags.method, path, header, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if flags.include {
		var head bytes.Buffer
		fmt.Fprintf(&head, "%s %s\n", response.Proto, response.Status)
		response.Header.Write(&head)
		fmt.Fprintln(p.stdout, head.String())
	}
	if _, err := io.Copy(p.stdout, response.Body); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode >= 400 {
		return fmt.Errorf("the server answered %s", response.Status)
	}
	return nil
}
