package trace

import (
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// The attributes of our spans: OpenTelemetry's where it has a name for them, else ours.
const (
	TeamKey        attribute.Key = "midge.team"
	BuildKey                     = semconv.CICDPipelineRunIDKey
	StepKey                      = semconv.CICDPipelineTaskNameKey
	WorkerKey                    = semconv.CICDWorkerNameKey
	ContainerKey                 = semconv.ContainerIDKey
	ImageNameKey                 = semconv.ContainerImageNameKey
	ImageDigestKey               = semconv.OCIManifestDigestKey
	ExitStatusKey                = semconv.ProcessExitCodeKey
	UserKey                      = semconv.UserIDKey
	StatementKey                 = semconv.DBQuerySummaryKey
	InputKey       attribute.Key = "midge.input"
	DigestKey      attribute.Key = "midge.digest"
	BytesKey       attribute.Key = "midge.bytes"
	FilesKey       attribute.Key = "midge.files"
	ReasonKey      attribute.Key = "midge.reason"
	LevelKey       attribute.Key = "midge.level"
	DroppedKey     attribute.Key = "midge.dropped_spans"
)

// Of the events that Span.AddStalls adds.
const (
	StallEvent                  = "stall"
	StallResource attribute.Key = "midge.stall.resource"
	StallSeconds  attribute.Key = "midge.stall.seconds"
	StallShare    attribute.Key = "midge.stall.share"
)

// Debug marks a span that only those see who ask for all: a request, an SQL statement.
var Debug = LevelKey.String("debug")

// Interrupted marks a span that was cut off: when it ended is not known.
var Interrupted = attribute.Bool("midge.interrupted", true)

// Team is the team on whose behalf a span is.
func Team(name string) attribute.KeyValue { return TeamKey.String(name) }

// Build is the build that a span belongs to; WithBuild sets it on all spans of a context.
func Build(id int) attribute.KeyValue { return BuildKey.String(strconv.Itoa(id)) }

// Step is the name of a step of a build.
func Step(name string) attribute.KeyValue { return StepKey.String(name) }

// Worker is the worker that a step runs on.
func Worker(name string) attribute.KeyValue { return WorkerKey.String(name) }

// Container is the handle of a container.
func Container(handle string) attribute.KeyValue { return ContainerKey.String(handle) }

// ImageName is what an image was asked for by, ImageDigest what it turned out to be.
func ImageName(name string) attribute.KeyValue { return ImageNameKey.String(name) }

// ImageDigest is the digest of an image's manifest.
func ImageDigest(digest string) attribute.KeyValue { return ImageDigestKey.String(digest) }

// Input is the name of an input or output, Digest that of the tree that it was.
func Input(name string) attribute.KeyValue { return InputKey.String(name) }

// Digest is the digest of a tree.
func Digest(digest string) attribute.KeyValue { return DigestKey.String(digest) }

// Bytes is how many bytes a span moved, Files how many files it looked at or moved.
func Bytes(n int64) attribute.KeyValue { return BytesKey.Int64(n) }

// Files is how many files a span looked at or moved.
func Files(n int64) attribute.KeyValue { return FilesKey.Int64(n) }

// ExitStatus is what a process gave to exit.
func ExitStatus(status int) attribute.KeyValue { return ExitStatusKey.Int(status) }

// Reason says in a few words why something waits or was chosen.
func Reason(text string) attribute.KeyValue { return ReasonKey.String(text) }

// Statement is an SQL statement in short: INSERT builds.
func Statement(text string) attribute.KeyValue { return StatementKey.String(text) }
