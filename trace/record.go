package trace

import (
	"context"
	"crypto/rand"
	"errors"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"midge/trace/otlp"
)

// recording is what records the spans of this process, nil while nothing does.
var recording atomic.Pointer[recorder]

type recorder struct {
	provider *sdk.TracerProvider
	tracer   oteltrace.Tracer
	keep     func(otlp.Span)
	// exporters get what the provider does not see: the spans of tasks.
	exporters []sdk.SpanExporter
}

// Options say what becomes of the spans of a process.
type Options struct {
	// Service and Version name the program, unless OTEL_SERVICE_NAME and
	// OTEL_RESOURCE_ATTRIBUTES do.
	Service, Version string
	// Begin is called with every span of a build that begins, as Keep is with those that
	// have ended. Nil wants none.
	Begin func(otlp.Span)
	// Keep is called with every span that has ended, sampled or not, from many
	// goroutines; it must not wait. Nil keeps none.
	Keep func(otlp.Span)
	// Exporters get the sampled spans in batches.
	Exporters []sdk.SpanExporter
	// ExportFailed is told of spans that could not be exported, from any goroutine.
	// Nil forgets it: nothing that is worth doing fails for a collector.
	ExportFailed func(error)
}

// Record makes spans be recorded in this process from now on, and gives what ends
// that: it hands the last spans to the exporters, waits for them as long as its
// context lasts, and shuts them down. It is an error while spans are being recorded.
func Record(options Options) (stop func(context.Context) error, err error) {
	identity, err := identify(options)
	if err != nil {
		return nil, err
	}
	sampler, err := samplerFromEnvironment()
	if err != nil {
		return nil, err
	}
	providerOptions := []sdk.TracerProviderOption{
		sdk.WithResource(identity),
		sdk.WithSampler(everything{sampler}),
		sdk.WithSpanProcessor(keeper{options.Begin, options.Keep, fromSDKResource(identity)}),
	}
	for _, exporter := range options.Exporters {
		providerOptions = append(providerOptions, sdk.WithBatcher(exporter))
	}
	provider := sdk.NewTracerProvider(providerOptions...)
	r := &recorder{
		provider: provider, tracer: provider.Tracer("midge", oteltrace.WithInstrumentationVersion(options.Version)),
		keep: options.Keep, exporters: options.Exporters,
	}
	if !recording.CompareAndSwap(nil, r) {
		return nil, errors.Join(errors.New("spans are being recorded already"), provider.Shutdown(context.Background()))
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		if options.ExportFailed != nil {
			options.ExportFailed(err)
		}
	}))
	return func(ctx context.Context) error {
		if !recording.CompareAndSwap(r, nil) {
			return nil
		}
		return provider.Shutdown(ctx)
	}, nil
}

func identify(options Options) (*sdkresource.Resource, error) {
	ours := sdkresource.NewSchemaless(
		semconv.ServiceName(options.Service),
		semconv.ServiceVersion(options.Version),
		semconv.ServiceInstanceID(rand.Text()), // It tells this process's clock from others'.
	)
	asked, err := sdkresource.New(context.Background(), sdkresource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	return sdkresource.Merge(ours, asked)
}

// keeper is the processor that hands every span on when it has ended, and those of
// builds when they begin as well.
type keeper struct {
	begin    func(otlp.Span)
	keep     func(otlp.Span)
	resource *otlp.Resource
}

func (k keeper) OnStart(ctx context.Context, span sdk.ReadWriteSpan) {
	if build, ok := ctx.Value(buildKey{}).(attribute.KeyValue); ok {
		span.SetAttributes(build)
		if k.begin != nil {
			k.begin(fromSDK(span, k.resource))
		}
	}
}

func (k keeper) OnEnd(span sdk.ReadOnlySpan) {
	if k.keep != nil {
		k.keep(fromSDK(span, k.resource))
	}
}

func (keeper) Shutdown(context.Context) error   { return nil }
func (keeper) ForceFlush(context.Context) error { return nil }

type buildKey struct{}

// WithBuild makes all spans that are started with the context ones of that build.
func WithBuild(ctx context.Context, id int) context.Context {
	if recording.Load() == nil {
		return ctx
	}
	return context.WithValue(ctx, buildKey{}, Build(id))
}

// SetUser notes on the span that ctx carries whose request it is.
func SetUser(ctx context.Context, name string) {
	oteltrace.SpanFromContext(ctx).SetAttributes(UserKey.String(name))
}
