package server

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"midge/api"
	"midge/server/engine"
)

// metrics are what Prometheus is told, in a registry of the server's own.
type metrics struct {
	registry *prometheus.Registry
	duration *prometheus.HistogramVec
	wait     prometheus.Histogram
	// received counts what has come as artifacts, stored the files of the artifacts
	// that were made of it: what is the same in both was sent but once.
	received, stored prometheus.Counter
	operations       *prometheus.HistogramVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "midge_build_duration_seconds",
			Help:    "How long builds took that finished since the server started, from their start.",
			Buckets: prometheus.ExponentialBuckets(0.25, 2, 16),
		}, []string{"team", "status"}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "midge_build_wait_seconds",
			Help:    "How long builds that finished since the server started had waited for their turn.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 8),
		}),
		received: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "midge_artifact_received_bytes_total",
			Help: "Bytes that were uploaded, as they were sent.",
		}),
		stored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "midge_artifact_files_bytes_total",
			Help: "Bytes of the files of artifacts that were uploaded, sent or already there.",
		}),
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "midge_runtime_operation_duration_seconds",
			Help:    "How long workers took to create containers, start tasks in them and destroy them.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
		}, []string{"worker", "operation", "result"}),
	}
	m.registry.MustRegister(m.duration, m.wait, m.received, m.stored, m.operations, &currentMetrics{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{Namespace: "midge"}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: answerTimeout})
}

// finished counts a build that has finished. The state knows times to the second.
func (m *metrics) finished(build api.Build) {
	if build.StartTime != 0 {
		m.duration.WithLabelValues(build.TeamName, string(build.Status)).Observe(float64(build.EndTime - build.StartTime))
		m.wait.Observe(float64(build.StartTime - build.CreateTime))
	}
}

// operated counts what a worker did.
func (m *metrics) operated(worker string, operation engine.Operation, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.operations.WithLabelValues(worker, string(operation), result).Observe(took.Seconds())
}

// counting counts the bytes of the bodies of requests.
func (m *metrics) counting(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = &countedBody{r.Body, m.received}
		next(w, r)
	}
}

type countedBody struct {
	io.ReadCloser
	bytes prometheus.Counter
}

func (c *countedBody) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.bytes.Add(float64(n))
	return n, err
}

// currentMetrics are those that are looked up when they are asked for.
type currentMetrics struct{ server *Server }

var (
	buildsDesc       = prometheus.NewDesc("midge_builds", "Builds in the history.", []string{"team", "status"}, nil)
	activeDesc       = prometheus.NewDesc("midge_active_builds", "Builds that have their turn.", nil, nil)
	waitingDesc      = prometheus.NewDesc("midge_waiting_builds", "Builds that wait for their turn.", nil, nil)
	sessionsDesc     = prometheus.NewDesc("midge_hijack_sessions", "Hijack sessions.", nil, nil)
	partAgeDesc      = prometheus.NewDesc("midge_part_age_seconds", "How long ago a part of the server has reported.", []string{"part"}, nil)
	partTookDesc     = prometheus.NewDesc("midge_part_duration_seconds", "How long a part's last run took.", []string{"part"}, nil)
	partFailuresDesc = prometheus.NewDesc("midge_part_failures_in_row", "How often a part has failed since it last did not.", []string{"part"}, nil)
	partOKDesc       = prometheus.NewDesc("midge_part_ok", "1 when there is nothing to say of a part, else 0.", []string{"part"}, nil)
)

// Describe implements prometheus.Collector.
func (c *currentMetrics) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{buildsDesc, activeDesc, waitingDesc, sessionsDesc, partAgeDesc, partTookDesc, partFailuresDesc, partOKDesc} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *currentMetrics) Collect(into chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		into <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	counts, err := c.server.database.CountBuilds(ctx)
	if err != nil {
		into <- prometheus.NewInvalidMetric(buildsDesc, err)
	}
	for _, count := range counts {
		gauge(buildsDesc, float64(count.Builds), count.Team, string(count.Status))
	}
	active, waiting := c.server.engine.Load()
	gauge(activeDesc, float64(active))
	gauge(waitingDesc, float64(waiting))
	gauge(sessionsDesc, float64(len(c.server.sessions.List())))
	now := time.Now()
	for _, part := range c.server.parts.list() {
		if part.LastRun != 0 {
			gauge(partAgeDesc, now.Sub(time.Unix(part.LastRun, 0)).Seconds(), part.Name)
			gauge(partTookDesc, part.TookSeconds, part.Name)
		}
		gauge(partFailuresDesc, float64(part.FailuresInRow), part.Name)
		ok := 0.0
		if part.Verdict == api.VerdictOK {
			ok = 1
		}
		gauge(partOKDesc, ok, part.Name)
	}
}
