package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"midge/api"
	"midge/client"
	"midge/terminal"
	"midge/trace"
	"midge/trace/otlp"
	"midge/trace/waterfall"
	usagecommand "midge/usage/command"
)

const (
	// maxSpans is how many of its own spans a command keeps.
	maxSpans = 10_000
	// measuredTimeout is how long a command that has ended may take to tell its trace and usage.
	measuredTimeout = 3 * time.Second
)

// How a trace, and what was used, can be shown.
var (
	traceForms = []string{"tree", "json"}
	usageForms = []string{"table", "json"}
)

// addMeasuringFlags adds the flags that ask for a command's trace and usage.
func (p *program) addMeasuringFlags(flags *pflag.FlagSet) {
	flags.Var(&choice{&p.flags.trace, traceForms}, "trace", "show where the time went: as a `tree or json`")
	flags.Lookup("trace").NoOptDefVal = "tree"
	flags.StringVar(&p.flags.traceFile, "trace-file", "", "write the trace to this `file`, as json if not told else")
	flags.Var(&choice{&p.flags.usage, usageForms}, "usage", "show what was used: as a `table or json`")
	flags.Lookup("usage").NoOptDefVal = "table"
}

// choice is the value of a flag that is one of a few words.
type choice struct {
	value *string
	words []string
}

func (c *choice) String() string {
	if c.value == nil { // as pflag makes one to know what is no value
		return ""
	}
	return *c.value
}

func (c *choice) Type() string { return "string" }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.words, text) {
		return fmt.Errorf("it is none of %s", strings.Join(c.words, " and "))
	}
	*c.value = text
	return nil
}

// measurement is what becomes known of a command's time and cost while it runs. A nil
// one measures nothing.
type measurement struct {
	meter  *usagecommand.Meter
	spans  *trace.Memory // nil when no spans are recorded
	stop   func(context.Context) error
	server *client.Client // that the command talked to last, nil for none
	builds []int          // that the command was about
	// sessions are what hijack sessions have used.
	sessions []api.StepUsage
}

// measure has the command tell its trace and usage when it has ended, where that is asked for.
func (p *program) measure(command *cobra.Command) {
	run := command.RunE
	if run == nil { // it only has others below it
		return
	}
	command.RunE = func(command *cobra.Command, args []string) error {
		if p.flags.traceFile != "" && p.flags.trace == "" {
			p.flags.trace = "json"
		}
		if p.flags.trace == "" && p.flags.usage == "" && !trace.ExportRequested() {
			return run(command, args)
		}
		return p.runMeasured(command, args, run)
	}
}

func (p *program) runMeasured(command *cobra.Command, args []string, run func(*cobra.Command, []string) error) error {
	p.measurement = &measurement{meter: usagecommand.StartMeter()}
	if err := p.record(); err != nil {
		return err
	}
	parent := command.Context()
	ctx, span := trace.StartSpan(trace.FromEnvironment(parent), command.Name())
	command.SetContext(ctx)
	failed := run(command, args)
	span.End(failed)
	ending, cancel := context.WithTimeout(context.WithoutCancel(parent), measuredTimeout)
	defer cancel()
	if err := p.tellMeasured(ending, trace.ID(ctx)); err != nil {
		fmt.Fprintf(p.stderr, "midge: the trace or usage cannot be shown: %v\n", err)
	}
	return failed
}

// record begins to record spans, if anybody wants them.
func (p *program) record() (err error) {
	m := p.measurement
	if p.flags.trace == "" && !trace.ExportRequested() {
		return nil
	}
	m.spans = trace.NewMemory(maxSpans)
	options := trace.Options{
		Service: "midge", Version: api.Version, Keep: m.spans.Keep,
		ExportFailed: func(err error) { fmt.Fprintf(p.stderr, "midge: spans were not exported: %v\n", err) },
	}
	if trace.ExportRequested() {
		exporter, err := trace.ExporterFromEnvironment()
		if err != nil {
			return err
		}
		options.Exporters = []sdk.SpanExporter{exporter}
	}
	m.stop, err = trace.Record(options)
	return err
}

// client gives a client whose requests are measured.
func (m *measurement) client(options client.Options) (*client.Client, error) {
	if m == nil {
		return client.New(options)
	}
	wrap := options.Wrap
	options.Wrap = func(base http.RoundTripper) http.RoundTripper {
		if transport, ok := base.(*http.Transport); ok {
			transport.DialContext = m.meter.DialContext(transport.DialContext)
		}
		base = trace.Transport(m.meter.Transport(base))
		if wrap != nil {
			base = wrap(base)
		}
		return base
	}
	c, err := client.New(options)
	m.server = c
	return c, err
}

// concerns notes that the command is about a build, whose usage is a part of its own.
func (m *measurement) concerns(build int) {
	if m != nil {
		m.builds = append(m.builds, build)
	}
}

// session notes what a hijack session of the command has used, nil when that is not known.
func (m *measurement) session(used *api.StepUsage) {
	if m != nil && used != nil {
		m.sessions = append(m.sessions, *used)
	}
}

// tellMeasured tells the command's trace and usage.
func (p *program) tellMeasured(ctx context.Context, traceID string) error {
	m := p.measurement
	used := m.meter.Usage()
	var errs []error
	if m.stop != nil {
		if err := m.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("export the spans: %w", err))
		}
	}
	features := m.features(ctx)
	var spans []otlp.Span
	if p.flags.trace != "" {
		var dropped int
		spans, dropped = m.spans.Spans()
		if slices.Contains(features, api.FeatureTraces) {
			errs = append(errs, m.addServersSpans(ctx, traceID, &spans))
		}
		errs = append(errs, p.writeTrace(ctx, spans, dropped))
	}
	if p.flags.usage != "" {
		total := api.BuildUsage{Steps: []api.StepUsage{}, Client: &used}
		if slices.Contains(features, api.FeatureUsage) {
			errs = append(errs, m.addBuildsUsage(ctx, &total))
		}
		for _, session := range m.sessions {
			total.Add(session)
		}
		if p.flags.trace == "" && slices.Contains(features, api.FeatureTraces) {
			spans = m.buildsSpans(ctx)
		}
		errs = append(errs, p.writeUsage(p.stderr, total, waterfall.Slowest(spans), p.flags.usage == "json"))
	}
	return errors.Join(errs...)
}

// buildsSpans gives the server's spans of the only build that the command was about,
// for what they say of where its time went: none when there are not any.
func (m *measurement) buildsSpans(ctx context.Context) []otlp.Span {
	if len(m.builds) != 1 {
		return nil
	}
	spans, err := findTrace(ctx, m.server, strconv.Itoa(m.builds[0]))
	if err != nil {
		return nil
	}
	return spans
}

// features are those that the server has, none when there is no answer: then what the
// command knows itself is all there is.
func (m *measurement) features(ctx context.Context) []string {
	if m.server == nil {
		return nil
	}
	info, err := m.server.Info(ctx)
	if err != nil || info.Midge == nil {
		return nil
	}
	return info.Midge.Features
}

// addServersSpans adds what the server has of the trace; nothing is no error.
func (m *measurement) addServersSpans(ctx context.Context, id string, spans *[]otlp.Span) error {
	more, err := serversSpans(ctx, m.server, id)
	var missing *client.NotFoundError
	var unauthorized *client.UnauthorizedError
	if errors.As(err, &missing) || errors.As(err, &unauthorized) {
		return nil
	}
	*spans = append(*spans, more...)
	return err
}

func serversSpans(ctx context.Context, c *client.Client, id string) ([]otlp.Span, error) {
	body, err := c.Trace(ctx, id)
	if err != nil {
		return nil, err
	}
	return otlp.DecodeJSON(body)
}

func (m *measurement) addBuildsUsage(ctx context.Context, total *api.BuildUsage) error {
	for _, build := range m.builds {
		used, err := m.server.BuildUsage(ctx, build)
		var missing *client.NotFoundError
		if errors.As(err, &missing) { // which the command has said
			continue
		}
		if err != nil {
			return err
		}
		total.Steps = append(total.Steps, used.Steps...)
		total.SysUsage = append(total.SysUsage, used.SysUsage...)
	}
	return nil
}

// writeTrace writes a trace to stderr or the file that the flags name.
func (p *program) writeTrace(ctx context.Context, spans []otlp.Span, dropped int) error {
	if p.flags.traceFile == "" {
		return p.writeTraceTo(ctx, p.stderr, spans, p.drawing(p.stderr, dropped))
	}
	file, err := os.Create(p.flags.traceFile)
	if err != nil {
		return err
	}
	return errors.Join(p.writeTraceTo(ctx, file, spans, waterfall.Options{UTF8: true, Dropped: dropped}), file.Close())
}

func (p *program) writeTraceTo(ctx context.Context, w io.Writer, spans []otlp.Span, options waterfall.Options) error {
	if p.flags.trace == "json" {
		return trace.WriteJSON(ctx, terminal.JSON(w), spans)
	}
	return waterfall.Draw(w, spans, options)
}

// drawing says how to draw on a stream.
func (p *program) drawing(on *stream, dropped int) waterfall.Options {
	return waterfall.Options{
		Width: on.width(), All: p.flags.verbose, UTF8: p.utf8(), Color: on.colour, Dropped: dropped,
	}
}

// width is the terminal's in columns, 0 when there is none.
func (s *stream) width() int {
	if !s.terminal {
		return 0
	}
	width, _, err := term.GetSize(int(s.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// utf8 reports whether the locale writes UTF-8.
func (p *program) utf8() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale, _ := p.lookupEnv(name); locale != "" {
			locale = strings.ToLower(locale)
			return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
		}
	}
	return false
}
