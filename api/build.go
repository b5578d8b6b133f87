package api

import "slices"

// BuildStatus is the state of a build.
type BuildStatus string

const (
	StatusPending   BuildStatus = "pending"
	StatusStarted   BuildStatus = "started"
	StatusSucceeded BuildStatus = "succeeded"
	StatusFailed    BuildStatus = "failed"
	StatusErrored   BuildStatus = "errored"
	StatusAborted   BuildStatus = "aborted"
)

// Finished reports whether a build in this state will never change again.
func (s BuildStatus) Finished() bool {
	switch s {
	case StatusSucceeded, StatusFailed, StatusErrored, StatusAborted:
		return true
	}
	return false
}

// Build is one build as the builds endpoints give it. Times are Unix seconds;
// 0 means not yet.
type Build struct {
	ID        int         `json:"id"`
	TeamName  string      `json:"team_name"`
	Name      string      `json:"name"`
	Status    BuildStatus `json:"status"`
	APIURL    string      `json:"api_url"`
	StartTime int64       `json:"start_time,omitempty"`
	EndTime   int64       `json:"end_time,omitempty"`

	// What only a Concourse has: which job's build it is, or which resource's check; all
	// are empty of a one-off.
	PipelineName string `json:"pipeline_name,omitempty"`
	JobName      string `json:"job_name,omitempty"`
	ResourceName string `json:"resource_name,omitempty"`

	// CreatedBy is the user who started it, "" when nobody did.
	CreatedBy string `json:"created_by,omitempty"`

	// What only midge knows.
	CreateTime int64  `json:"create_time,omitempty"`
	TraceID    string `json:"trace_id,omitempty"`
}

// Info is what GET /api/v1/info answers, to anybody.
type Info struct {
	Version       string          `json:"version"`
	WorkerVersion string          `json:"worker_version"`
	FeatureFlags  map[string]bool `json:"feature_flags"`
	ExternalURL   string          `json:"external_url,omitempty"`
	ClusterName   string          `json:"cluster_name,omitempty"`
	// Midge is absent on a server that is a Concourse.
	Midge *MidgeInfo `json:"midge,omitempty"`
}

// Features are the additions that a server may have.
const (
	FeatureArtifacts = "artifacts" // trees sent and fetched by content, below a team's artifacts
	FeatureEvents    = "events"    // events of midge's own, see EventsHeader
	FeatureHijack    = "hijack"    // sessions that outlive their connection
	FeatureRequests  = "requests"  // builds created once, however often it is asked for, see RequestKeyHeader
	FeatureTokens    = "tokens"    // tokens listed, made and revoked
	FeatureTraces    = "traces"    // spans of builds and requests, see the endpoint traces
	FeatureUsage     = "usage"     // what builds used
)

// RequestKeyHeader names the request that creates or aborts a build, by anything of 1 to
// MaxRequestKey bytes that its team uses once, so that asking again after an answer
// was lost gives the same build, or is the same abort and not a second one: the
// Idempotency-Key of draft-ietf-httpapi-idempotency-key-header. What else a repeated
// request holds is not looked at.
const (
	RequestKeyHeader = "Idempotency-Key"
	MaxRequestKey    = 128
)

// Offers reports whether the server has one of the Features.
func (i Info) Offers(feature string) bool {
	return i.Midge != nil && slices.Contains(i.Midge.Features, feature)
}

// MidgeInfo says which of our additions a server has.
type MidgeInfo struct {
	Version  string   `json:"version"`
	Features []string `json:"features,omitempty"`
}

// User is what GET /api/v1/user answers.
type User struct {
	Sub           string              `json:"sub"`
	Name          string              `json:"name"`
	UserID        string              `json:"user_id"`
	UserName      string              `json:"user_name"`
	Email         string              `json:"email"`
	IsAdmin       bool                `json:"is_admin"`
	IsSystem      bool                `json:"is_system"`
	Teams         map[string][]string `json:"teams"`
	Connector     string              `json:"connector"`
	DisplayUserID string              `json:"display_user_id"`
}

// Team is a tenant. Auth maps a role to the users and groups who have it.
type Team struct {
	ID   int                            `json:"id"`
	Name string                         `json:"name"`
	Auth map[string]map[string][]string `json:"auth,omitempty"`
}

// Artifact is a tree of files that outlives the build that made or uploaded it.
type Artifact struct {
	ID        int    `json:"id"`
	Name      string `json:"name"`
	BuildID   int    `json:"build_id"`
	CreatedAt int64  `json:"created_at"`

	// What only midge knows.
	Digest string `json:"digest,omitempty"`
	Files  int64  `json:"files,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
}

// ContainerFailed is the State of a container that could not be made: there is nothing to
// look into.
const ContainerFailed = "failed"

// Container is one container as the containers endpoints give it.
type Container struct {
	ID               string `json:"id"`
	WorkerName       string `json:"worker_name"`
	State            string `json:"state"`
	Type             string `json:"type"`
	StepName         string `json:"step_name,omitempty"`
	BuildID          int    `json:"build_id,omitempty"`
	BuildName        string `json:"build_name,omitempty"`
	PipelineID       int    `json:"pipeline_id,omitempty"`
	PipelineName     string `json:"pipeline_name,omitempty"`
	JobName          string `json:"job_name,omitempty"`
	ResourceName     string `json:"resource_name,omitempty"`
	Attempt          string `json:"attempt,omitempty"`
	WorkingDirectory string `json:"working_directory,omitempty"`
	User             string `json:"user,omitempty"`
	ExpiresIn        string `json:"expires_in,omitempty"`

	// HeldBy is who asked for it to be kept. Only midge knows it, and what follows.
	HeldBy string `json:"held_by,omitempty"`
	// GoneAt is when a container was removed whose State is gone, in Unix seconds, and
	// GoneReason why, as the end of a sentence about it.
	GoneAt     int64  `json:"gone_at,omitempty"`
	GoneReason string `json:"gone_reason,omitempty"`
	// Task is the task that it was made for; lists leave it out.
	Task *ContainerTask `json:"task,omitempty"`
}

// ContainerTask is how far the task of a container has come, and what it runs.
type ContainerTask struct {
	// Status is started, succeeded, failed, errored or aborted.
	Status string `json:"status"`
	// ExitStatus is that of its command; nil while it runs, and when it has none.
	ExitStatus *int `json:"exit_status,omitempty"`
	// Command is what it runs; empty when that is the image's to say.
	Command []string `json:"command,omitempty"`
}

// Volume is one volume as the volumes endpoint gives it.
type Volume struct {
	ID                   string         `json:"id"`
	WorkerName           string         `json:"worker_name"`
	Type                 string         `json:"type"`
	ContainerHandle      string         `json:"container_handle"`
	Path                 string         `json:"path"`
	ParentHandle         string         `json:"parent_handle"`
	ResourceType         any            `json:"resource_type"`
	BaseResourceType     any            `json:"base_resource_type"`
	PipelineID           int            `json:"pipeline_id"`
	PipelineName         string         `json:"pipeline_name"`
	PipelineInstanceVars map[string]any `json:"pipeline_instance_vars"`
	JobName              string         `json:"job_name"`
	StepName             string         `json:"step_name"`
}

// Worker is one worker as the workers endpoint gives it.
type Worker struct {
	Addr             string   `json:"addr"`
	BaggageclaimURL  string   `json:"baggageclaim_url"`
	ActiveContainers int      `json:"active_containers"`
	ActiveVolumes    int      `json:"active_volumes"`
	ActiveTasks      int      `json:"active_tasks"`
	MaxActiveTasks   int      `json:"max_active_tasks"`
	ResourceTypes    []any    `json:"resource_types"`
	Platform         string   `json:"platform"`
	Tags             []string `json:"tags"`
	Team             string   `json:"team"`
	Name             string   `json:"name"`
	Version          string   `json:"version"`
	StartTime        int64    `json:"start_time"`
	Ephemeral        bool     `json:"ephemeral"`
	State            string   `json:"state"`

	// Runtime is the kind of runtime (runc, kubernetes); only midge knows it.
	Runtime string `json:"runtime,omitempty"`

	// Pending counts the containers that wait to be made, and Waits says for what.
	Pending int      `json:"pending,omitempty"`
	Waits   []string `json:"waits,omitempty"`
}
