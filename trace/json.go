package trace

import (
	"context"
	"fmt"
	"io"

	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"

	"midge/trace/otlp"
)

// WriteJSON writes spans as OpenTelemetry's stdouttrace does, an object a line.
func WriteJSON(ctx context.Context, w io.Writer, spans []otlp.Span) error {
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(w))
	if err != nil {
		return fmt.Errorf("write spans: %w", err)
	}
	if err := exporter.ExportSpans(ctx, toSDK(spans)); err != nil {
		return fmt.Errorf("write spans: %w", err)
	}
	return nil
}
