// Package state keeps what a server must not forget, in one SQLite database: teams,
// builds and their plans, the outcome of each step, artifacts, containers, tokens.
//
// A method that has returned without an error has its effect on disk. The package
// knows nothing of HTTP, runtimes or the contents of artifacts.
package state

import (
	"context"
	"fmt"
	"time"

	"midge/api"
)

// NotFoundError tells that there is no such row, or none that this team may see.
type NotFoundError struct {
	Kind string
	Name string
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("%s %s not found", e.Kind, e.Name) }

// NewBuild is what a build is created from.
type NewBuild struct {
	Team        string
	Plan        api.Plan
	CreatedBy   string
	TraceParent string // W3C traceparent of the request, "" for none
}

// BuildRecord is a build with what the API does not show.
type BuildRecord struct {
	api.Build
	Plan        api.Plan
	TraceParent string
	// AbortedBy is who asked for the build to be aborted, "" while nobody has.
	AbortedBy string
}

// BuildFilter selects builds, newest first.
type BuildFilter struct {
	Teams  []string // nil: all
	Status []api.BuildStatus
	// From and To bound the ids, both included; 0 means no bound. With From alone
	// the oldest Limit of them are given (still newest first).
	From, To int
	// Since and Until bound the start time, in Unix seconds; 0 means no bound.
	Since, Until int64
	Limit        int // 0: 100
}

// StepState is how far a step has come.
type StepState string

const (
	StepStarted   StepState = "started"
	StepSucceeded StepState = "succeeded"
	StepFailed    StepState = "failed"
	StepErrored   StepState = "errored"
	StepAborted   StepState = "aborted"
)

// Step is the outcome of one step of a build's plan. A server that comes back does
// not run a step again that has ended, and finds the container of one that has not.
type Step struct {
	BuildID    int
	PlanID     string
	Attempt    int // of the retry around it, from 1
	State      StepState
	ExitStatus int    // of a task that ran, else -1
	Container  string // handle, "" for none
	Worker     string
	Message    string // why it errored
	StartedAt  time.Time
	EndedAt    time.Time
}

// Container is the row of a container, from before it is made until after it is gone.
type Container struct {
	Handle    string
	Worker    string
	Team      string
	BuildID   int
	PlanID    string
	StepName  string
	Type      string // task
	Dir       string
	User      string
	State     string // creating, created, failed, destroying
	CreatedAt time.Time
	// FinishedAt is when its task ended; zero before.
	FinishedAt time.Time
	// HeldUntil keeps it from garbage collection; zero when nobody holds it.
	HeldUntil time.Time
	HeldBy    string
}

// ContainerFilter selects containers; zero fields select all.
type ContainerFilter struct {
	Teams    []string
	BuildID  int
	StepName string
	Type     string
	Worker   string
}

// Artifact is the row of an artifact.
type Artifact struct {
	api.Artifact
	Team string
}

// Token is a bearer token, stored by its hash alone.
type Token struct {
	ID        int
	Hash      []byte
	User      string
	Name      string
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time
}

// Database is the state. Its methods may be called from many goroutines.
type Database interface {
	Close() error

	EnsureTeam(ctx context.Context, name string) (api.Team, error)
	Teams(ctx context.Context) ([]api.Team, error)

	// CreateBuild makes a pending build; Name is the id in decimal.
	CreateBuild(ctx context.Context, build NewBuild) (BuildRecord, error)
	// StartBuild and FinishBuild move a build on. A build that is finished stays as it is: then they report false.
	StartBuild(ctx context.Context, id int, at time.Time) (bool, error)
	FinishBuild(ctx context.Context, id int, status api.BuildStatus, at time.Time) (bool, error)
	// RequestAbort notes who asked for it; of a finished build it reports false.
	RequestAbort(ctx context.Context, id int, by string) (bool, error)
	Build(ctx context.Context, id int) (BuildRecord, error)
	Builds(ctx context.Context, filter BuildFilter) ([]api.Build, error)
	// UnfinishedBuilds gives those pending and started, oldest first, plans included.
	UnfinishedBuilds(ctx context.Context) ([]BuildRecord, error)

	// SaveStep writes the step of that build, plan id and attempt, over what was there.
	SaveStep(ctx context.Context, step Step) error
	Steps(ctx context.Context, buildID int) ([]Step, error)

	CreateArtifact(ctx context.Context, team string, artifact api.Artifact) (api.Artifact, error)
	Artifact(ctx context.Context, id int) (Artifact, error)
	BuildArtifacts(ctx context.Context, buildID int) ([]api.Artifact, error)
	// ArtifactDigests gives the digest of every artifact, each once.
	ArtifactDigests(ctx context.Context) ([]string, error)
	DeleteArtifact(ctx context.Context, id int) error

	SaveContainer(ctx context.Context, container Container) error
	Container(ctx context.Context, handle string) (Container, error)
	Containers(ctx context.Context, filter ContainerFilter) ([]Container, error)
	DeleteContainer(ctx context.Context, handle string) error

	CreateToken(ctx context.Context, token Token) (Token, error)
	TokenByHash(ctx context.Context, hash []byte) (Token, error)
	Tokens(ctx context.Context, user string) ([]Token, error)
	DeleteToken(ctx context.Context, id int) error
}
