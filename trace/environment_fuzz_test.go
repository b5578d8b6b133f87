package trace

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

var errNowhere = errors.New("there is nobody")

// FuzzEnvironment sets the exporter's variables to anything: an exporter that comes of
// them can send requests.
func FuzzEnvironment(f *testing.F) {
	f.Add("http://localhost:4318", "http/protobuf", "gzip", "api-key=a%20secret, tenant=7,", "10000", "parentbased_traceidratio", "0.5")
	f.Add("https://[::1]:1/x?y", "http/json", "none", "=,a=%zz", "0", "always_off", "")
	f.Add("", "", "", "key=a%0d%0aother: b", "9223372036854775807", "", "NaN")
	f.Add("unix:///x", "grpc", "zstd", "a b=c", "-1", "traceidratio", "1e-400")
	f.Fuzz(func(t *testing.T, endpoint, protocol, compression, headers, timeout, sampler, ratio string) {
		for name, value := range map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
			"OTEL_EXPORTER_OTLP_HEADERS": headers, "OTEL_EXPORTER_OTLP_TIMEOUT": timeout,
			"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": ratio,
		} {
			if strings.Contains(value, "\x00") {
				return // no variable has that
			}
			t.Setenv(name, value)
		}
		if s, err := samplerFromEnvironment(); (s == nil) == (err == nil) {
			t.Errorf("%q and %q gave the sampler %v and the error %v", sampler, ratio, s, err)
		}
		e, err := ExporterFromEnvironment()
		if err != nil {
			return
		}
		if parsed, err := url.Parse(e.endpoint); err != nil || parsed.Host == "" || e.client.Timeout <= 0 || e.client.Timeout > 50*24*time.Hour {
			t.Errorf("the endpoint is %q (%v), the timeout %v", e.endpoint, err, e.client.Timeout)
		}
		nowhere := http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errNowhere }}
		request := http.Request{Method: "POST", URL: &url.URL{Scheme: "http", Host: "localhost"}, Header: e.headers}
		if _, err := nowhere.RoundTrip(&request); !errors.Is(err, errNowhere) {
			t.Errorf("the headers %q cannot be sent: %v", e.headers, err)
		}
	})
}
