package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite"
)

// history is how many builds there are when lists of them are measured.
const history = 100_000

// benchLists measures lists of builds, as the server answers them, when few builds are in
// its history and when there are many.
func benchLists(ctx context.Context, b *bench) error {
	server := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(b.target, "unix://"))
	}}}
	defer server.CloseIdleConnections()
	lists := []string{
		"/api/v1/builds?limit=50",
		"/api/v1/teams/main/builds?limit=50&to=50000",
		"/api/v1/builds?limit=50&timestamps=true&from=" + fmt.Sprint(time.Now().Add(-time.Hour).Unix()),
	}
	few, err := slowest(ctx, server, lists)
	if err != nil {
		return err
	}
	if err := addHistory(ctx, filepath.Join(b.dir, "data", "midge.db")); err != nil {
		return fmt.Errorf("add %d builds to the history: %w", history, err)
	}
	many, err := slowest(ctx, server, lists)
	if err != nil {
		return err
	}
	b.compare(fmt.Sprintf("list of 50 builds of %d k, at the server", history/1000), many, "of the few before", few, "<= 50 ms")
	return nil
}

// slowest gives the median time of the list that takes longest.
func slowest(ctx context.Context, server *http.Client, lists []string) (time.Duration, error) {
	var longest time.Duration
	for _, list := range lists {
		var times []time.Duration
		for range 20 {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://midge"+list, nil)
			if err != nil {
				return 0, err
			}
			start := time.Now()
			response, err := server.Do(request)
			if err != nil {
				return 0, err
			}
			_, err = io.Copy(io.Discard, response.Body)
			times = append(times, time.Since(start))
			if err := errors.Join(err, response.Body.Close()); err != nil {
				return 0, err
			}
			if response.StatusCode != http.StatusOK {
				return 0, fmt.Errorf("%s answers %s", list, response.Status)
			}
		}
		longest = max(longest, median(times))
	}
	return longest, nil
}

// addHistory adds builds that have finished to the database of a server that runs.
func addHistory(ctx context.Context, path string) error {
	database, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(30000)")
	if err != nil {
		return err
	}
	_, err = database.ExecContext(ctx, `
		WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
		INSERT INTO builds (team_id, status, created_by, create_time, start_time, end_time, trace_parent)
		SELECT (SELECT id FROM teams WHERE name = 'main'), iif(n % 7, 'succeeded', 'failed'), 'local', ?, ? + n / 100, ? + n / 100, '' FROM numbers`,
		history, time.Now().Unix(), time.Now().Unix()-history/100, time.Now().Unix()-history/100)
	return errors.Join(err, database.Close())
}
