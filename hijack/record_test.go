package hijack

import (
	"context"
	"os"
	"strings"
	"testing"
)

func TestDamagedRecord(t *testing.T) {
	server := newServer(t, Config{})
	run := begin(t, Options{Endpoint: server.endpoint(), Processes: script("read line"), Stdin: nothing(t)})
	next(t, run.session, "the session")
	server.close()
	damaged := server.config.Dir + "/broken.json"
	if err := os.WriteFile(damaged, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	sessions, err := Open(server.config)
	if err != nil {
		t.Fatal(err)
	}
	defer sessions.Close()
	if err := sessions.Restore(testContext(t)); err == nil || !strings.Contains(err.Error(), "restore hijack session broken: its record is damaged") {
		t.Errorf("Restore gives %v", err)
	}
	if count := len(sessions.List()); count != 1 {
		t.Errorf("%d sessions are there, want the one that is whole", count)
	}
	if _, err := os.Stat(damaged); !os.IsNotExist(err) {
		t.Errorf("the damaged record is still there: %v", err)
	}
}

// TestRestoreWithoutContainer tells of the end of a session whose container went
// while no server ran.
func TestRestoreWithoutContainer(t *testing.T) {
	server := newServer(t, Config{})
	run := begin(t, Options{Endpoint: server.endpoint(), Processes: script("read line"), Stdin: nothing(t)})
	id := next(t, run.session, "the session")
	server.close()
	if err := server.container.Destroy(context.Background()); err != nil {
		t.Fatal(err)
	}
	server.open()
	ended := next(t, server.observer.ended, "the end")
	if ended.session.ID != id || ended.end.Exit != nil || ended.end.Message != "the container is gone" {
		t.Errorf("the observer was told %+v", ended)
	}
	var report *Error
	if result := run.wait(); !asError(result.err, &report) || report.Code != CodeNoSession {
		t.Errorf("Run gave %+v", result)
	}
}
