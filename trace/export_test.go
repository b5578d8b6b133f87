package trace

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"midge/trace/otlp"
)

// exportedSpans is an exporter that notes the names of what it gets.
type exportedSpans struct {
	mu    sync.Mutex
	names []string
}

func (e *exportedSpans) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, span := range spans {
		e.names = append(e.names, span.Name())
	}
	return nil
}

func (e *exportedSpans) Shutdown(context.Context) error { return nil }

// collector is a real receiver of OTLP behind HTTP, that is busy for the first requests.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	busy    int
	spans   []otlp.Span
	headers []http.Header
}

func startCollector(t *testing.T) *collector {
	c := new(collector)
	receiver := otlp.NewReceiver(func(_ context.Context, spans []otlp.Span) error {
		c.spans = append(c.spans, spans...)
		return nil
	})
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.headers = append(c.headers, r.Header)
		if c.busy--; c.busy >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		receiver.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

func TestExporterFromEnvironment(t *testing.T) {
	for _, test := range []struct {
		name        string
		environment map[string]string
		contentType string
	}{
		{"protobuf", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL/"}, "application/x-protobuf"},
		{"JSON, packed", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}, "application/json"},
		{"for traces alone", map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://nowhere.invalid", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "URL/v1/traces",
			"OTEL_EXPORTER_OTLP_TIMEOUT": "60000",
		}, "application/x-protobuf"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := startCollector(t)
			c.busy = 1
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20secret, tenant=7,")
			for key, value := range test.environment {
				t.Setenv(key, strings.Replace(value, "URL", c.URL, 1))
			}
			if !ExportRequested() {
				t.Error("an export is not seen to be asked for")
			}
			exporter, err := ExporterFromEnvironment()
			if err != nil {
				t.Fatal(err)
			}
			stop, err := Record(Options{Service: "midge", Exporters: []sdk.SpanExporter{exporter}})
			if err != nil {
				t.Fatal(err)
			}
			_, span := StartSpan(t.Context(), "execute", Files(3))
			span.End(nil)
			if err := stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(c.spans) != 1 || c.spans[0].Name != "execute" || text(c.spans[0], FilesKey) != "3" {
				t.Errorf("the collector has %+v", c.spans)
			}
			if len(c.headers) != 2 {
				t.Fatalf("the collector was asked %d times, want once when it was busy and once more", len(c.headers))
			}
			if h := c.headers[1]; h.Get("api-key") != "a secret" || h.Get("tenant") != "7" || h.Get("Content-Type") != test.contentType {
				t.Errorf("headers are %v", h)
			}
		})
	}
}

func TestExporterFromEnvironmentRefuses(t *testing.T) {
	for _, test := range []struct{ key, value, want string }{
		{"OTEL_TRACES_EXPORTER", "zipkin", "by otlp alone"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "the server exports by grpc too"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "no http or https URL"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "br", "neither gzip nor none"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=b,secret", "entry 2 of OTEL_EXPORTER_OTLP_HEADERS is not of the form key=value"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0d%0ab: c", "entry 1 of"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a secret=b", "entry 1 of"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "milliseconds"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "9223372036854775807", "milliseconds"},
	} {
		t.Run(test.key, func(t *testing.T) {
			t.Setenv(test.key, test.value)
			_, err := ExporterFromEnvironment()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one that says %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a header: %v", err)
			}
		})
	}
}

func TestExportRequested(t *testing.T) {
	for _, test := range []struct {
		environment map[string]string
		want        bool
	}{
		{nil, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, false},
		{map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}, false},
	} {
		for _, key := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_SDK_DISABLED"} {
			t.Setenv(key, test.environment[key])
		}
		if got := ExportRequested(); got != test.want {
			t.Errorf("%v: %v, want %v", test.environment, got, test.want)
		}
	}
}

func TestExporterSaysWhatTheCollectorAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "wrong api key", http.StatusForbidden)
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	exporter, err := ExporterFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	err = exporter.ExportSpans(t.Context(), toSDK([]otlp.Span{{Name: "x"}}))
	if err == nil || !strings.Contains(err.Error(), "wrong api key") {
		t.Errorf("the error is %v", err)
	}
}
