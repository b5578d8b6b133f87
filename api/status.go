package api

// Status is how a server is: what GET /api/v1/status answers. To who does not
// administer the server it has no parts.
type Status struct {
	Verdict Verdict `json:"verdict"` // the worst of the parts
	Time    int64   `json:"time"`    // Unix seconds
	Version string  `json:"version"`
	// Parts are sorted by name.
	Parts []StatusPart `json:"parts,omitempty"`
}

// Verdict says how bad something is.
type Verdict string

// The verdicts, from good to bad.
const (
	VerdictOK       Verdict = "ok"
	VerdictWarning  Verdict = "warning"  // somebody should look at it
	VerdictCritical Verdict = "critical" // the server does not do what it is there for, or soon will not
)

// Worse gives the worse of two verdicts.
func (v Verdict) Worse(other Verdict) Verdict {
	if v == VerdictCritical || other == VerdictCritical {
		return VerdictCritical
	}
	if v == VerdictWarning || other == VerdictWarning {
		return VerdictWarning
	}
	return VerdictOK
}

// StatusPart is how one part of a server is, as it has last reported itself.
type StatusPart struct {
	Name    string  `json:"name"`
	Verdict Verdict `json:"verdict"`
	// Finding says in one sentence what is wrong; "" when nothing is.
	Finding string `json:"finding,omitempty"`

	PeriodSeconds float64 `json:"period_seconds"` // how often it reports
	LastRun       int64   `json:"last_run"`       // Unix seconds; 0 is never
	TookSeconds   float64 `json:"took_seconds"`
	NextDue       int64   `json:"next_due"` // Unix seconds
	FailuresInRow int     `json:"failures_in_row"`
	// Backlog is how much waits for the part, one of its Values; nil for a part for which
	// nothing does.
	Backlog *float64 `json:"backlog,omitempty"`

	// Values are numbers of the part's own, such as free_bytes.
	Values map[string]float64 `json:"values,omitempty"`
}
