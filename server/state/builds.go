package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"midge/api"
)

// NewBuild is what a build is created from.
type NewBuild struct {
	Team        string
	Plan        api.Plan
	CreatedBy   string
	TraceParent string // W3C traceparent of the request, "" for none
	// RequestKey is what its team names the request by, "" for nothing.
	RequestKey string
	// StartedAt makes it a started build; zero makes it a pending one.
	StartedAt time.Time
}

// BuildRecord is a build with what the API does not show.
type BuildRecord struct {
	api.Build
	Plan        api.Plan
	TraceParent string
	// AbortedBy is who asked first for the build to be aborted, "" while nobody has, and
	// Interrupted what is to be interrupted by that.
	AbortedBy   string
	Interrupted Interruption
}

const buildColumns = `b.id, t.name, b.status, b.created_by, b.create_time, b.start_time, b.end_time, b.trace_parent`

const selectRecord = `SELECT ` + buildColumns + `, b.aborted_by, b.aborted_again, p.plan
	FROM builds b JOIN teams t ON t.id = b.team_id JOIN build_plans p ON p.build_id = b.id `

// CreateBuild makes a build; its Name is the id in decimal. It reports false, and gives
// the build that there is, when the team has made one by that RequestKey before. A team
// that is not there is a *NotFoundError.
func (db *Database) CreateBuild(ctx context.Context, build NewBuild) (record BuildRecord, created bool, err error) {
	plan, err := json.Marshal(build.Plan)
	if err != nil {
		return BuildRecord{}, false, fmt.Errorf("create build: encode plan: %w", err)
	}
	status, startTime := api.StatusPending, int64(0)
	if !build.StartedAt.IsZero() {
		status, startTime = api.StatusStarted, build.StartedAt.Unix()
	}
	var id int
	err = db.inTransaction(ctx, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `SELECT b.id FROM builds b JOIN teams t ON t.id = b.team_id
			WHERE t.name = ? AND b.request_key = ? AND b.request_key != ''`, build.Team, build.RequestKey).Scan(&id)
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		created = true
		err = tx.QueryRowContext(ctx, `INSERT INTO builds (team_id, status, created_by, create_time, start_time, trace_parent, request_key)
			SELECT id, ?, ?, ?, ?, ?, ? FROM teams WHERE name = ? RETURNING id`,
			status, build.CreatedBy, time.Now().Unix(), startTime, build.TraceParent, build.RequestKey, build.Team).Scan(&id)
		if err != nil {
			return notFound(err, "team", build.Team)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO build_plans (build_id, plan) VALUES (?, ?)`, id, string(plan)); err != nil {
			return err
		}
		return saveInputs(ctx, tx, id, build.Plan)
	})
	if err != nil {
		return BuildRecord{}, false, fmt.Errorf("create build: %w", err)
	}
	record, err = db.Build(ctx, id)
	return record, created, err
}

// saveInputs notes the artifacts that a build begins with.
func saveInputs(ctx context.Context, tx *sql.Tx, id int, plan api.Plan) error {
	for step := range plan.All() {
		if step.ArtifactInput == nil {
			continue
		}
		_, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO build_inputs (build_id, artifact_id) VALUES (?, ?)`,
			id, step.ArtifactInput.ArtifactID)
		if err != nil {
			return err
		}
	}
	return nil
}

// StartBuild makes a pending build a started one. Of a build that is not pending
// it reports false and changes nothing.
func (db *Database) StartBuild(ctx context.Context, id int, at time.Time) (bool, error) {
	var started bool
	err := db.lazily(ctx, func(tx *sql.Tx) (err error) {
		started, err = change(ctx, tx, `UPDATE builds SET status = ?, start_time = ? WHERE id = ? AND status = ?`,
			api.StatusStarted, at.Unix(), id, api.StatusPending)
		return err
	})
	return db.changedBuild(ctx, "start", id, started, err)
}

// FinishBuild gives a build its last status. Of a build that is finished it
// reports false and changes nothing.
func (db *Database) FinishBuild(ctx context.Context, id int, status api.BuildStatus, at time.Time) (bool, error) {
	if !status.Finished() {
		return false, fmt.Errorf("finish build %d: %q is not the status of a finished build", id, status)
	}
	finished, err := db.change(ctx, `UPDATE builds SET status = ?, end_time = ? WHERE id = ? AND status IN (?, ?)`,
		status, at.Unix(), id, api.StatusPending, api.StatusStarted)
	return db.changedBuild(ctx, "finish", id, finished, err)
}

// changedBuild completes a change of a build's row: when none was changed it tells
// a build that has moved on from one that does not exist.
func (db *Database) changedBuild(ctx context.Context, what string, id int, changed bool, err error) (bool, error) {
	if err == nil && !changed {
		err = notFound(db.reader.QueryRowContext(ctx, `SELECT id FROM builds WHERE id = ?`, id).Scan(&id), "build", id)
	}
	if err != nil {
		return false, fmt.Errorf("%s build %d: %w", what, id, err)
	}
	return changed, nil
}

// Build gives the build of that id, or a *NotFoundError.
func (db *Database) Build(ctx context.Context, id int) (BuildRecord, error) {
	record, err := scanRecord(db.reader.QueryRowContext(ctx, selectRecord+`WHERE b.id = ?`, id))
	if err != nil {
		return BuildRecord{}, fmt.Errorf("read build %d: %w", id, notFound(err, "build", id))
	}
	return record, nil
}

// UnfinishedBuilds gives the builds that are pending or started, oldest first.
func (db *Database) UnfinishedBuilds(ctx context.Context) ([]BuildRecord, error) {
	records, err := list(ctx, db, scanRecord, selectRecord+`WHERE b.status IN (?, ?) ORDER BY b.id`,
		api.StatusPending, api.StatusStarted)
	if err != nil {
		return nil, fmt.Errorf("read unfinished builds: %w", err)
	}
	return records, nil
}

func scanBuild(r row) (api.Build, error) {
	var build api.Build
	var traceParent string
	err := scanBuildAnd(r, &build, &traceParent)
	return build, err
}

func scanRecord(r row) (BuildRecord, error) {
	var record BuildRecord
	var plan []byte
	var again bool
	if err := scanBuildAnd(r, &record.Build, &record.TraceParent, &record.AbortedBy, &again, &plan); err != nil {
		return BuildRecord{}, err
	}
	if record.AbortedBy != "" {
		record.Interrupted = interruption(again)
	}
	if err := json.Unmarshal(plan, &record.Plan); err != nil {
		return BuildRecord{}, fmt.Errorf("decode the plan of build %d: %w", record.ID, err)
	}
	return record, nil
}

// scanBuildAnd reads buildColumns and what follows them.
func scanBuildAnd(r row, build *api.Build, traceParent *string, others ...any) error {
	dest := []any{&build.ID, &build.TeamName, &build.Status, &build.CreatedBy,
		&build.CreateTime, &build.StartTime, &build.EndTime, traceParent}
	if err := r.Scan(append(dest, others...)...); err != nil {
		return err
	}
	build.Name = strconv.Itoa(build.ID)
	build.APIURL = "/api/v1/builds/" + build.Name
	// A traceparent is version-traceid-parentid-flags.
	if parts := strings.Split(*traceParent, "-"); len(parts) == 4 {
		build.TraceID = parts[1]
	}
	return nil
}

// BuildFilter selects builds, newest first.
type BuildFilter struct {
	Teams  []string          // nil: all
	Status []api.BuildStatus // nil: all
	// From and To bound the ids, both included; 0 means no bound. With From alone
	// the oldest Limit of them are given (still newest first).
	From, To int
	// Since and Until bound the start time, both included, in Unix seconds; 0 means
	// no bound. With either, builds that have not started are left out, and newest
	// means started last.
	Since, Until int64
	Limit        int // 0: 100
}

// Builds gives the builds that the filter selects. Its time depends on the number
// of builds it gives, not on that of builds there are.
func (db *Database) Builds(ctx context.Context, filter BuildFilter) ([]api.Build, error) {
	if filter.Teams != nil && len(filter.Teams) == 0 || filter.Status != nil && len(filter.Status) == 0 {
		return []api.Build{}, nil
	}
	query, args := filter.query()
	builds, err := list(ctx, db, scanBuild, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read builds: %w", err)
	}
	if filter.oldest() {
		slices.Reverse(builds)
	}
	return builds, nil
}

// oldest reports whether the limit leaves out the newest builds, not the oldest.
func (f BuildFilter) oldest() bool { return f.From != 0 && f.To == 0 }

// query selects the ids for each team and status by itself, so that each is a
// bounded walk along an index in the order wanted, and merges what they give.
func (f BuildFilter) query() (string, []any) {
	limit := f.Limit
	if limit == 0 {
		limit = 100
	}
	direction := "DESC"
	if f.oldest() {
		direction = "ASC"
	}
	order := "id " + direction
	if f.Since != 0 || f.Until != 0 {
		order = "start_time " + direction + ", " + order
	}
	var selects []string
	var args []any
	for _, team := range anyOf(f.Teams) {
		for _, status := range anyOf(f.Status) {
			conditions, values := f.conditions(team, status)
			selects = append(selects, "SELECT * FROM (SELECT id FROM builds WHERE "+conditions+" ORDER BY "+order+" LIMIT ?)")
			args = append(args, append(values, limit)...)
		}
	}
	// CROSS JOIN keeps SQLite from walking all builds and looking each up in what was found.
	query := `SELECT ` + buildColumns + ` FROM (` + strings.Join(selects, " UNION ALL ") + `) found
		CROSS JOIN builds b ON b.id = found.id JOIN teams t ON t.id = b.team_id
		ORDER BY b.` + strings.Replace(order, ", id", ", b.id", 1) + ` LIMIT ?`
	return query, append(args, limit)
}

// conditions are the filter's, with one team and one status, each nil for any.
func (f BuildFilter) conditions(team *string, status *api.BuildStatus) (string, []any) {
	conditions := []string{"TRUE"}
	var args []any
	add := func(condition string, arg any) {
		conditions = append(conditions, condition)
		args = append(args, arg)
	}
	if team != nil {
		add("team_id = (SELECT id FROM teams WHERE name = ?)", *team)
	}
	if status != nil {
		add("status = ?", *status)
	}
	if f.From != 0 {
		add("id >= ?", f.From)
	}
	if f.To != 0 {
		add("id <= ?", f.To)
	}
	if f.Since != 0 || f.Until != 0 {
		add("start_time >= ?", max(f.Since, 1))
	}
	if f.Until != 0 {
		add("start_time <= ?", f.Until)
	}
	return strings.Join(conditions, " AND "), args
}

// anyOf gives a pointer to each value, or a single nil when values is nil.
func anyOf[T any](values []T) []*T {
	if values == nil {
		return []*T{nil}
	}
	var all []*T
	for i := range values {
		all = append(all, &values[i])
	}
	return all
}
