package state

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"midge/api"
)

func taskPlan() api.Plan {
	return api.Plan{ID: "1", Task: &api.TaskPlan{Name: "one-off", Config: &api.TaskConfig{
		Platform: "linux", Run: api.TaskRun{Path: "true"},
	}}}
}

func createBuild(t *testing.T, db *Database, team string) BuildRecord {
	t.Helper()
	build, _, err := db.CreateBuild(t.Context(), NewBuild{Team: team, Plan: taskPlan(), CreatedBy: "local:test",
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"})
	if err != nil {
		t.Fatal(err)
	}
	return build
}

func TestCreateBuild(t *testing.T) {
	db := openTest(t)
	before := time.Now().Unix()
	build := createBuild(t, db, "other")
	if build.CreateTime < before || build.CreateTime > time.Now().Unix() {
		t.Errorf("create time is %d, want now", build.CreateTime)
	}
	want := api.Build{ID: 1, TeamName: "other", Name: "1", Status: api.StatusPending, APIURL: "/api/v1/builds/1",
		CreateTime: build.CreateTime, CreatedBy: "local:test", TraceID: "0af7651916cd43dd8448eb211c80319c"}
	if build.Build != want {
		t.Errorf("got %+v, want %+v", build.Build, want)
	}
	if !reflect.DeepEqual(build.Plan, taskPlan()) {
		t.Errorf("got plan %+v, want %+v", build.Plan, taskPlan())
	}
	_, _, err := db.CreateBuild(t.Context(), NewBuild{Team: "none", Plan: taskPlan()})
	wantNotFound(t, err, "team")
	_, err = db.Build(t.Context(), 2)
	wantNotFound(t, err, "build")
}

// A request that has a name makes one build of its team, however often it comes.
func TestARequestThatIsRepeated(t *testing.T) {
	db := openTest(t)
	named := NewBuild{Team: "main", Plan: taskPlan(), RequestKey: "key"}
	ids := make(chan int, 20)
	var created atomic.Int32
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() {
			build, isNew, err := db.CreateBuild(t.Context(), named)
			if err != nil {
				t.Error(err)
			}
			if isNew {
				created.Add(1)
			}
			ids <- build.ID
		})
	}
	wg.Wait()
	close(ids)
	for id := range ids {
		if id != 1 {
			t.Errorf("the request made build %d as well", id)
		}
	}
	if created.Load() != 1 {
		t.Errorf("%d builds are said to be new", created.Load())
	}
	for _, other := range []NewBuild{{Team: "other", Plan: taskPlan(), RequestKey: "key"}, {Team: "main", Plan: taskPlan()}, {Team: "main", Plan: taskPlan()}} {
		if build, isNew, err := db.CreateBuild(t.Context(), other); err != nil || !isNew || build.ID == 1 {
			t.Errorf("%+v gave build %d, new is %v, %v", other, build.ID, isNew, err)
		}
	}
}

func TestBuildMovesOn(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	build := createBuild(t, db, "main")
	abort := func(by string) func() (bool, error) {
		return func() (bool, error) {
			interrupted, err := db.RequestAbort(ctx, build.ID, Abort{By: by})
			return interrupted != NotInterrupted, err
		}
	}
	steps := []struct {
		name   string
		do     func() (bool, error)
		want   bool
		status api.BuildStatus
	}{
		{"start", func() (bool, error) { return db.StartBuild(ctx, build.ID, time.Unix(100, 0)) }, true, api.StatusStarted},
		{"start again", func() (bool, error) { return db.StartBuild(ctx, build.ID, time.Unix(101, 0)) }, false, api.StatusStarted},
		{"abort", abort("local:a"), true, api.StatusStarted},
		{"abort again", abort("local:b"), true, api.StatusStarted},
		{"finish", func() (bool, error) { return db.FinishBuild(ctx, build.ID, api.StatusAborted, time.Unix(102, 0)) }, true, api.StatusAborted},
		{"finish again", func() (bool, error) { return db.FinishBuild(ctx, build.ID, api.StatusFailed, time.Unix(103, 0)) }, false, api.StatusAborted},
		{"abort late", abort("local:c"), false, api.StatusAborted},
		{"start late", func() (bool, error) { return db.StartBuild(ctx, build.ID, time.Unix(104, 0)) }, false, api.StatusAborted},
	}
	for _, step := range steps {
		got, err := step.do()
		if err != nil || got != step.want {
			t.Errorf("%s: got %v, %v; want %v", step.name, got, err, step.want)
		}
		if after, err := db.Build(ctx, build.ID); err != nil || after.Status != step.status {
			t.Errorf("%s: the build is %q (%v), want %q", step.name, after.Status, err, step.status)
		}
	}
	after, err := db.Build(ctx, build.ID)
	if err != nil || after.StartTime != 100 || after.EndTime != 102 || after.AbortedBy != "local:a" {
		t.Errorf("got %+v, %v; want it to have started at 100, ended at 102, and aborted by local:a", after, err)
	}
}

func TestChangesOfNoBuild(t *testing.T) {
	db := openTest(t)
	_, err := db.StartBuild(t.Context(), 7, time.Now())
	wantNotFound(t, err, "build")
	_, err = db.FinishBuild(t.Context(), 7, api.StatusFailed, time.Now())
	wantNotFound(t, err, "build")
	_, err = db.RequestAbort(t.Context(), 7, Abort{By: "local:a"})
	wantNotFound(t, err, "build")
	if _, err = db.FinishBuild(t.Context(), createBuild(t, db, "main").ID, api.StatusStarted, time.Now()); err == nil {
		t.Error("a build was finished as started")
	}
}

func TestUnfinishedBuilds(t *testing.T) {
	db := openTest(t)
	pending, finished, started := createBuild(t, db, "main"), createBuild(t, db, "main"), createBuild(t, db, "other")
	if _, err := db.FinishBuild(t.Context(), finished.ID, api.StatusErrored, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.StartBuild(t.Context(), started.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	builds, err := db.UnfinishedBuilds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(builds) != 2 || builds[0].ID != pending.ID || builds[1].ID != started.ID {
		t.Errorf("got %+v, want builds %d and %d", builds, pending.ID, started.ID)
	}
	if !reflect.DeepEqual(builds[0].Plan, taskPlan()) {
		t.Errorf("got plan %+v, want %+v", builds[0].Plan, taskPlan())
	}
}

// fill writes n builds: odd ids of main, even ones of other; every third failed,
// the rest succeeded; build i started at 1000+i. The last one is pending.
func fill(t *testing.T, db *Database, n int) {
	t.Helper()
	_, err := db.writer.ExecContext(t.Context(), `WITH RECURSIVE seq (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM seq WHERE i < ?)
		INSERT INTO builds (id, team_id, status, created_by, create_time, start_time, end_time, trace_parent)
		SELECT i, 2 - i % 2, iif(i % 3 = 0, 'failed', 'succeeded'), 'local:test', 1000 + i, 1000 + i, 1001 + i, '' FROM seq`, n-1)
	if err != nil {
		t.Fatal(err)
	}
	createBuild(t, db, "main")
}

func TestBuildsFilter(t *testing.T) {
	db := openTest(t)
	fill(t, db, 21)
	failed, succeeded := api.StatusFailed, api.StatusSucceeded
	tests := []struct {
		name   string
		filter BuildFilter
		want   []int
	}{
		{"limit", BuildFilter{Limit: 3}, []int{21, 20, 19}},
		{"no limit", BuildFilter{To: 4}, []int{4, 3, 2, 1}},
		{"from", BuildFilter{From: 5, Limit: 3}, []int{7, 6, 5}},
		{"to", BuildFilter{To: 5, Limit: 3}, []int{5, 4, 3}},
		{"from and to", BuildFilter{From: 5, To: 9, Limit: 3}, []int{9, 8, 7}},
		{"from beyond to", BuildFilter{From: 9, To: 5}, nil},
		{"team", BuildFilter{Teams: []string{"other"}, Limit: 3}, []int{20, 18, 16}},
		{"teams", BuildFilter{Teams: []string{"other", "main"}, Limit: 3}, []int{21, 20, 19}},
		{"no such team", BuildFilter{Teams: []string{"none"}}, nil},
		{"no team", BuildFilter{Teams: []string{}}, nil},
		{"no status", BuildFilter{Status: []api.BuildStatus{}}, nil},
		{"status", BuildFilter{Status: []api.BuildStatus{failed}, Limit: 2}, []int{18, 15}},
		{"two statuses", BuildFilter{Status: []api.BuildStatus{failed, succeeded}, Limit: 4}, []int{20, 19, 18, 17}},
		{"team and status", BuildFilter{Teams: []string{"main"}, Status: []api.BuildStatus{failed}}, []int{15, 9, 3}},
		{"from, by team", BuildFilter{Teams: []string{"main", "other"}, From: 3, Limit: 4}, []int{6, 5, 4, 3}},
		{"since", BuildFilter{Since: 1018}, []int{20, 19, 18}},
		{"until", BuildFilter{Until: 1002}, []int{2, 1}},
		{"since and until", BuildFilter{Since: 1004, Until: 1010, Limit: 2}, []int{10, 9}},
		{"since and until, by team and status", BuildFilter{Teams: []string{"other"},
			Status: []api.BuildStatus{succeeded}, Since: 1004, Until: 1010}, []int{10, 8, 4}},
		{"since, from", BuildFilter{Since: 1004, From: 6, Limit: 2}, []int{7, 6}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			builds, err := db.Builds(t.Context(), test.filter)
			if err != nil {
				t.Fatal(err)
			}
			if builds == nil {
				t.Error("got nil, want a list")
			}
			var ids []int
			for _, build := range builds {
				ids = append(ids, build.ID)
			}
			if !slices.Equal(ids, test.want) {
				t.Errorf("got %v, want %v", ids, test.want)
			}
		})
	}
}

// What a list costs must not grow with the number of builds there are: each select
// is to walk along an index in the order wanted, without sorting what it finds.
// SQLite plans by the schema alone, as nothing ever gathers statistics.
func TestBuildsQueryPlans(t *testing.T) {
	db := openTest(t)
	for _, teams := range [][]string{nil, {"main"}, {"main", "other"}} {
		for _, status := range [][]api.BuildStatus{nil, {api.StatusFailed}, {api.StatusPending, api.StatusStarted}} {
			for _, bounds := range []BuildFilter{{}, {From: 10}, {To: 99_000}, {From: 10, To: 99_000}, {Since: 1500}, {Since: 1500, Until: 90_000}} {
				filter := bounds
				filter.Teams, filter.Status = teams, status
				t.Run(fmt.Sprintf("%+v", filter), func(t *testing.T) { checkQueryPlan(t, db, filter) })
			}
		}
	}
}

func checkQueryPlan(t *testing.T, db *Database, filter BuildFilter) {
	type node struct {
		id, parent int
		detail     string
	}
	query, args := filter.query()
	nodes, err := list(t.Context(), db, func(r row) (node, error) {
		var n node
		var unused int
		err := r.Scan(&n.id, &n.parent, &unused, &n.detail)
		return n, err
	}, `EXPLAIN QUERY PLAN `+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	unbounded := filter.Teams == nil && filter.Status == nil && filter.From == 0 && filter.To == 0 && filter.Since == 0
	details := map[int]string{}
	var plan strings.Builder
	for _, n := range nodes {
		details[n.id] = n.detail
		fmt.Fprintf(&plan, "%d in %d: %s\n", n.id, n.parent, n.detail)
	}
	for _, n := range nodes {
		switch {
		case strings.HasPrefix(n.detail, "SCAN builds") && !unbounded:
			t.Errorf("a select walks all builds:\n%s", &plan)
		case n.detail == "SCAN b":
			t.Errorf("every build is looked up in what was selected:\n%s", &plan)
		// The selects are limited; sorting what they gave is cheap, sorting what they find is not.
		case strings.Contains(n.detail, "TEMP B-TREE") && strings.HasPrefix(details[n.parent], "CO-ROUTINE"):
			t.Errorf("a select sorts:\n%s", &plan)
		}
	}
}
