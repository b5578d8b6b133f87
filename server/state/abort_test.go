package state

import (
	"path/filepath"
	"testing"
	"time"
)

// An abort whose answer was lost is sent again, maybe to the next server. That is no
// second abort.
func TestRequestAbort(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(1000, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	tests := []struct {
		name   string
		aborts []Abort
		want   Interruption
	}{
		{"one", []Abort{{By: "a", Key: "k", At: at(0)}}, StepsInterrupted},
		{"the same again, much later", []Abort{{By: "a", Key: "k", At: at(0)}, {By: "a", Key: "k", At: at(100)}}, StepsInterrupted},
		{"another", []Abort{{By: "a", Key: "k", At: at(0)}, {By: "a", Key: "l", At: at(0)}}, AllInterrupted},
		{"another, and the first again", []Abort{{By: "a", Key: "k", At: at(0)}, {By: "a", Key: "l", At: at(0)}, {By: "a", Key: "k", At: at(0)}}, AllInterrupted},
		{"without a key, again at once", []Abort{{By: "a", At: at(0)}, {By: "a", At: at(4.9)}}, StepsInterrupted},
		{"without a key, the clock set back", []Abort{{By: "a", At: at(0)}, {By: "a", At: at(-100)}}, AllInterrupted},
		{"without a key, later", []Abort{{By: "a", At: at(0)}, {By: "a", At: at(5)}}, AllInterrupted},
		{"without a key, again and again", []Abort{{By: "a", At: at(0)}, {By: "a", At: at(4)}, {By: "a", At: at(8)}}, AllInterrupted},
		{"without a key, by somebody else", []Abort{{By: "a", At: at(0)}, {By: "b", At: at(1)}}, AllInterrupted},
		{"with a key after one without", []Abort{{By: "a", At: at(0)}, {By: "a", Key: "k", At: at(1)}}, AllInterrupted},
		{"without a key after one with", []Abort{{By: "a", Key: "k", At: at(0)}, {By: "a", At: at(1)}}, AllInterrupted},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "midge.db")
			db := openAt(t, path)
			id := createBuild(t, db, "main").ID
			var got Interruption
			for _, abort := range test.aborts {
				var err error
				if got, err = db.RequestAbort(t.Context(), id, abort); err != nil {
					t.Fatal(err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				db = openAt(t, path)
			}
			if got != test.want {
				t.Errorf("the last gave %d, want %d", got, test.want)
			}
			if record, err := db.Build(t.Context(), id); err != nil || record.Interrupted != test.want || record.AbortedBy != "a" {
				t.Errorf("the build is %+v (%v), want %d", record, err, test.want)
			}
		})
	}
}
