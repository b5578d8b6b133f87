// Spans is a program that sends spans of its own, as any that uses OpenTelemetry's
// SDK does: to where the environment says, below the span that it names.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace"
)

func main() {
	name := flag.String("name", "compile", "the span's `name`")
	children := flag.Int("children", 1, "how many spans are below it")
	flag.Parse()
	if err := send(context.Background(), *name, *children); err != nil {
		fmt.Fprintln(os.Stderr, "spans:", err)
		os.Exit(1)
	}
}

func send(ctx context.Context, name string, children int) error {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return err
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter, trace.WithBlocking()))
	tracer := provider.Tracer("spans")
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": os.Getenv("TRACEPARENT")})
	above, span := tracer.Start(ctx, name)
	for i := range children {
		_, child := tracer.Start(above, fmt.Sprintf("%s %d", name, i))
		child.End()
	}
	span.End()
	return provider.Shutdown(ctx)
}
