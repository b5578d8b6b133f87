package engine

import (
	"context"
	"errors"
	"net"
	"strings"

	"midge/runtime"
	"midge/trace"
)

// The variables by which OpenTelemetry's programs are told where to send spans:
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
const (
	endpointVariable       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	tracesEndpointVariable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	protocolVariable       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	tracesProtocolVariable = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
)

// listen gives a listener for the spans that the task itself sends, and what its
// process finds it by. There is none when nobody would keep the spans, when the task
// sends them elsewhere, has ended, or is on a worker that cannot have one.
func (t *task) listen(container runtime.Container) (net.Listener, []string) {
	listening, ok := container.(runtime.Listening)
	if !ok || !trace.Recording() {
		return nil, nil
	}
	environment, err := listening.Environment(t.force)
	if err != nil {
		t.logger.Warn("the task can send no spans", "step", t.plan.ID, "error", err)
		return nil, nil
	}
	own := make(map[string]string)
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		own[name] = value
	}
	protocol := own[protocolVariable]
	if own[tracesProtocolVariable] != "" {
		protocol = own[tracesProtocolVariable]
	}
	if own[endpointVariable] != "" || own[tracesEndpointVariable] != "" || protocol == "grpc" {
		return nil, nil
	}
	listener, err := listening.Listen(t.force, runtime.TaskProcessID)
	if err != nil {
		if missing := (*runtime.NotFoundError)(nil); !errors.As(err, &missing) {
			t.logger.Warn("the task can send no spans", "step", t.plan.ID, "error", err)
		}
		return nil, nil
	}
	variables := []string{endpointVariable + "=http://" + listener.Addr().String()}
	if protocol == "" {
		variables = append(variables, protocolVariable+"=http/protobuf")
	}
	return listener, variables
}

func closeListener(listener net.Listener) error {
	if listener == nil {
		return nil
	}
	return listener.Close()
}

// receiveSpans has what is sent to the listener appear below the span that ctx
// carries, until done is called.
func (t *task) receiveSpans(ctx context.Context, span trace.Span, listener net.Listener) (done func()) {
	if listener == nil {
		return func() {}
	}
	stop := trace.Receive(ctx, listener, t.logger)
	return func() {
		if refused := stop(); refused > 0 {
			span.Set(trace.DroppedKey.Int64(refused))
		}
	}
}
