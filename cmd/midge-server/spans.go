package main

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"midge/api"
	"midge/trace"
	"midge/trace/otlp"
)

// recordSpans begins to record the server's spans, and exports them where
// OpenTelemetry's variables say so.
func recordSpans(begin, keep func(otlp.Span), log *slog.Logger) (stop func(context.Context) error, err error) {
	options := trace.Options{
		Service: "midge-server",
		Version: api.Version,
		Begin:   begin,
		Keep:    keep,
		ExportFailed: func(err error) {
			log.Warn("spans were not exported", "error", err)
		},
	}
	if trace.ExportRequested() {
		exporter, err := autoexport.NewSpanExporter(context.Background())
		if err != nil {
			return nil, fmt.Errorf("export spans as the variables OTEL_* say: %w", err)
		}
		options.Exporters = []sdk.SpanExporter{exporter}
	}
	return trace.Record(options)
}
