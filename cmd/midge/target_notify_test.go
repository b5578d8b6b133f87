package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"midge/client"
)

// What is said of a server that does not come back is a line of its own.
func TestServerThatDoesNotComeBack(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := &program{stderr: &stream{File: file}}
	p.notify(client.Notice{Lost: &client.UnreachableError{Reason: "connection refused"}})
	p.notify(client.Notice{})
	p.notify(client.Notice{Lost: &client.ServerError{Message: "slow\ndown"}})
	p.fail(errors.New("it is gone"))
	p.fail(errors.New("so it is"))
	got, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	const want = "waiting for the server (connection refused) ... it is back after 0s\n" +
		"waiting for the server (slow down) ...\nmidge: it is gone\nmidge: so it is\n"
	if string(got) != want {
		t.Errorf("it says\n%s, want\n%s", got, want)
	}
}
