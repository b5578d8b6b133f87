package server

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"midge/api"
	"midge/client"
	"midge/runtime"
	"midge/trace/otlp"
)

// Config says what a server is to be. DataDir and OpenWorkers are needed, and one of
// Listen and Socket; the other fields have a use when they are zero.
type Config struct {
	// DataDir is where everything is that outlives the server. It is made if it is
	// not there. One server at a time may use it.
	DataDir string

	// OpenWorkers gives the workers that run containers. What they keep on this
	// machine they keep below dir, a directory of the data dir that is theirs. The
	// data dir is the server's alone from before the call until after close, which
	// may be nil, was called; containers live on.
	OpenWorkers func(ctx context.Context, dir string) (workers []runtime.Worker, close func(), err error)

	// PodArtifacts serves pods that exchange artifacts with their worker, below
	// PodArtifactsPath. It knows them by tokens of its own. nil serves none.
	PodArtifacts http.Handler

	// Placement chooses among the workers that fit a task; nil is
	// runtime.DefaultStrategies.
	Placement []runtime.Strategy

	// Listen is the TCP address, HOST:PORT, for those who log in; "" is none.
	Listen string
	// TLSCert and TLSKey are the files of the certificate that the TCP listener shows,
	// and of its key, in PEM; they are read again when they change. "" speaks no TLS.
	TLSCert, TLSKey string
	// TLSClientCA is a file of authorities, in PEM, one of whom must have signed the
	// certificate that a client shows; "" asks for none.
	TLSClientCA string
	// Socket is the path of the unix socket, whose users need not log in; "" is none.
	// A socket of that path that nobody listens on is replaced.
	Socket string
	// SocketGroup is the group that may use the socket besides its owner. When there
	// is no such group, or it is "", the owner alone may.
	SocketGroup string

	// ExternalURL is where users find the server; "" is where they have found it.
	ExternalURL string
	// ClusterName is what users call the server; it is only shown.
	ClusterName string
	// ConcourseVersion is the version that fly is told; "" is DefaultConcourseVersion.
	ConcourseVersion string

	// Users may log in with a password.
	Users []LocalUser
	// OIDC is who else knows users; the zero value is nobody.
	OIDC OIDC
	// Teams has the teams, by name, and who may do what in each. The team main is
	// always there. Its owners administer the server.
	Teams map[string]TeamRoles
	// MainOwners are the names of those Users who own the team main, if Teams does not
	// have it; nil is all of them.
	MainOwners []string
	// AuthDuration is how long a login lasts; 0 is a day.
	AuthDuration time.Duration

	// MaxActiveBuilds is how many builds run at once, the others waiting; 0 is no bound.
	MaxActiveBuilds int
	// MaxArtifactSize bounds the files of one artifact together, in bytes; 0 is no bound.
	MaxArtifactSize uint64
	// MinFreeSpace is how many bytes must be free on the data dir's disk for a build to
	// begin; with less it waits. 0 is any.
	MinFreeSpace uint64
	// StopFreeSpace is how many bytes must be free there for builds to go on: with less
	// that is stopped which takes the most. More than MinFreeSpace is as much as that;
	// 0 is any.
	StopFreeSpace uint64
	// UserLimits bound what each user may ask of the server, TeamLimits each team.
	UserLimits, TeamLimits Limits
	// AllowPrivileged lets tasks run that ask to be privileged.
	AllowPrivileged bool
	// DefaultLimits are for tasks that set none, MaxLimits the highest that a task may
	// set; a field that is 0 is none.
	DefaultLimits, MaxLimits runtime.Limits
	// StopGrace is how long an aborted task has between SIGTERM and SIGKILL.
	StopGrace time.Duration
	// CollectInterval is how often containers are looked for that nobody needs, and
	// twenty times that how often everything else is; 0 is 30 seconds.
	CollectInterval time.Duration
	// CollectGrace is how long a container stays after its build has finished.
	CollectGrace time.Duration
	// KeepBuilds is how many builds of each team are kept, with their logs, traces and
	// the artifacts they made; 0 is all. Older ones that are not finished, or whose
	// containers are kept, stay as long as that is so.
	KeepBuilds int
	// BuildGrace is how long a build and its artifacts stay at least once it has finished:
	// its client brings its outputs home then, and may have lost its way to the server; 0
	// is ten minutes.
	BuildGrace time.Duration
	// ArtifactTTL is how long an artifact is kept that no running build and no
	// container needs; 0 is for ever.
	ArtifactTTL time.Duration
	// KeepImages is how long workers keep an image that no container has.
	KeepImages time.Duration
	// HoldFailed is how long the container of a task that did not succeed is kept for
	// who wants to look into it.
	HoldFailed time.Duration
	// MaxHold is the longest that a container is held at once; 0 is a week.
	MaxHold time.Duration
	// MaxHeld is how many containers of a team are held at once; when there are more the
	// oldest is let go. 0 is no bound.
	MaxHeld int
	// SessionTimeout is how long a hijack session stays that nobody is attached to; 0 is
	// an hour.
	SessionTimeout time.Duration
	// InterceptIdleTimeout is how long a hijack session may be idle; 0 is for ever.
	InterceptIdleTimeout time.Duration

	// UploadGrace is how long an upload may pause, and what was uploaded stays before an
	// artifact is made of it; 0 is one hour.
	UploadGrace time.Duration

	// DestroyOnExit has Shutdown destroy all containers, for a server whose data dir
	// nobody will use again.
	DestroyOnExit bool

	// Record makes spans be recorded from now on, as trace.Record does, begin be told
	// of those of builds that begin and keep of each that ends, and gives what ends that.
	// It may be nil: then no traces are kept.
	Record func(begin, keep func(otlp.Span)) (stop func(context.Context) error, err error)

	// Now is the clock by which passwords, requests and uploads are limited; nil is
	// time.Now.
	Now func() time.Time

	// Log is told what the users are not; nil is slog.Default.
	Log *slog.Logger
}

// DefaultConcourseVersion is the newest version of Concourse whose fly is known to work.
const DefaultConcourseVersion = api.ConcourseVersion

// withDefaults fills in what zero fields mean.
func (c Config) withDefaults() Config {
	if c.AuthDuration == 0 {
		c.AuthDuration = 24 * time.Hour
	}
	if c.CollectInterval == 0 {
		c.CollectInterval = defaultCollectInterval
	}
	if c.BuildGrace == 0 {
		c.BuildGrace = client.DefaultPatience
	}
	if c.MaxHold == 0 {
		c.MaxHold = defaultMaxHold
	}
	if c.ConcourseVersion == "" {
		c.ConcourseVersion = DefaultConcourseVersion
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}
