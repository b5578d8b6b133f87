package main

import (
	"testing"

	"midge/api"
)

func TestWorkerState(t *testing.T) {
	for _, test := range []struct {
		worker api.Worker
		want   string
	}{
		{api.Worker{State: "running"}, "running"},
		{api.Worker{State: "landing", Pending: 2}, "landing, 2 pending"},
		{api.Worker{State: "running", Pending: 3, Waits: []string{"no node takes the pod yet: 0/1 nodes are available", "image x cannot be pulled"}},
			"running, 3 pending: no node takes the pod yet: 0/1 nodes are available; image x cannot be pulled"},
	} {
		if got := workerState(test.worker); got != test.want {
			t.Errorf("workerState(%+v) is %q, want %q", test.worker, got, test.want)
		}
	}
}
