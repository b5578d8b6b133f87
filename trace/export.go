package trace

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"midge/trace/otlp"
)

// ExportRequested tells whether the environment asks for spans to be exported. What
// OpenTelemetry's variables leave open means an export to a collector on this
// machine, which nobody who has set none of them expects of a command.
func ExportRequested() bool {
	return os.Getenv("OTEL_SDK_DISABLED") != "true" && os.Getenv("OTEL_TRACES_EXPORTER") != "none" &&
		(os.Getenv("OTEL_TRACES_EXPORTER") != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "")
}

// Exporter sends spans to a collector by OTLP over HTTP. It is small and quick to
// start, as the official ones are not; the server, which has the room, uses those.
type Exporter struct {
	client   http.Client
	endpoint string
	headers  http.Header
	json     bool
	packed   bool
}

// ExporterFromEnvironment gives the exporter that OpenTelemetry's variables describe:
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/. Of the protocols it has
// http/protobuf and http/json.
func ExporterFromEnvironment() (*Exporter, error) {
	if name := os.Getenv("OTEL_TRACES_EXPORTER"); name != "" && name != "otlp" {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: this command exports by otlp alone", name)
	}
	endpoint, err := endpointFromEnvironment()
	if err != nil {
		return nil, err
	}
	e := &Exporter{endpoint: endpoint, client: http.Client{Timeout: 10 * time.Second}}
	switch protocol := cmp.Or(variable("PROTOCOL"), "http/protobuf"); protocol {
	case "http/protobuf":
	case "http/json":
		e.json = true
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: this command exports by http/protobuf and http/json, which collectors take on port 4318; the server exports by grpc too", protocol)
	}
	switch compression := cmp.Or(variable("COMPRESSION"), "none"); compression {
	case "none":
	case "gzip":
		e.packed = true
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_COMPRESSION is %q, which is neither gzip nor none", compression)
	}
	if e.headers, err = parseHeaders(variable("HEADERS")); err != nil {
		return nil, err
	}
	if text := variable("TIMEOUT"); text != "" {
		milliseconds, err := strconv.ParseInt(text, 10, 32)
		if err != nil || milliseconds <= 0 {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT is %q: it is to be a number of milliseconds", text)
		}
		e.client.Timeout = time.Duration(milliseconds) * time.Millisecond
	}
	return e, nil
}

// variable reads one of the exporter's variables, that for traces before that for all.
func variable(name string) string {
	return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_"+name), os.Getenv("OTEL_EXPORTER_OTLP_"+name))
}

func endpointFromEnvironment() (string, error) {
	endpoint := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	if endpoint == "" {
		endpoint = strings.TrimSuffix(cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), "http://localhost:4318"), "/") + "/v1/traces"
	}
	parsed, err := url.Parse(endpoint)
	if err != nil || parsed.Host == "" || (parsed.Scheme != "http" && parsed.Scheme != "https") {
		return "", fmt.Errorf("the OTLP endpoint %q is no http or https URL", endpoint)
	}
	return endpoint, nil
}

// parseHeaders reads "key=value,key=value", values escaped as in URLs.
func parseHeaders(text string) (http.Header, error) {
	headers := http.Header{}
	for i, pair := range strings.Split(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !ok || !isHeaderName(key) || err != nil || strings.ContainsFunc(value, isControl) {
			// It may be a secret.
			return nil, fmt.Errorf("entry %d of OTEL_EXPORTER_OTLP_HEADERS is not of the form key=value, of a header", i+1)
		}
		headers.Add(key, value)
	}
	return headers, nil
}

// isHeaderName tells whether a name is a token, as RFC 9110 has it, section 5.6.2.
func isHeaderName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

// isControl tells what no header's value may have.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// ExportSpans sends spans. A collector that is busy is asked once more.
func (e *Exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	resources := map[*sdkresource.Resource]*otlp.Resource{}
	values := make([]otlp.Span, len(spans))
	for i, span := range spans {
		resource := span.Resource()
		if resources[resource] == nil {
			resources[resource] = fromSDKResource(resource)
		}
		values[i] = fromSDK(span, resources[resource])
	}
	body, err := e.encode(values)
	if err != nil {
		return err
	}
	retry, err := e.post(ctx, body)
	if err != nil && retry {
		_, err = e.post(ctx, body)
	}
	if err != nil {
		return fmt.Errorf("export spans to %s: %w", e.endpoint, err)
	}
	return nil
}

func (e *Exporter) encode(spans []otlp.Span) ([]byte, error) {
	body := otlp.EncodeProtobuf(spans)
	if e.json {
		var err error
		if body, err = otlp.EncodeJSON(spans); err != nil {
			return nil, err
		}
	}
	if !e.packed {
		return body, nil
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

func (e *Exporter) post(ctx context.Context, body []byte) (retry bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.endpoint, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	request.Header = e.headers.Clone()
	request.Header.Set("Content-Type", "application/x-protobuf")
	if e.json {
		request.Header.Set("Content-Type", "application/json")
	}
	if e.packed {
		request.Header.Set("Content-Encoding", "gzip")
	}
	response, err := e.client.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	switch response.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return false, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, fmt.Errorf("the collector answers %s", response.Status)
	}
	return false, fmt.Errorf("the collector answers %s: %q", response.Status, text)
}

// Shutdown ends the connections to the collector.
func (e *Exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

// export hands spans to exporters, each of which gets them whatever another says.
func export(ctx context.Context, exporters []sdk.SpanExporter, spans []otlp.Span) error {
	if len(exporters) == 0 || len(spans) == 0 {
		return nil
	}
	converted := toSDK(spans)
	var errs []error
	for _, exporter := range exporters {
		errs = append(errs, exporter.ExportSpans(ctx, converted))
	}
	return errors.Join(errs...)
}
