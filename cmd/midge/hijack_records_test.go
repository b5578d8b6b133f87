package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"midge/api"
	"midge/hijack"
)

// A command's output is the same bytes in records, which end between characters.
func TestSessionRecords(t *testing.T) {
	var written bytes.Buffer
	r := newSessionRecorder(&written)
	r.began(api.Container{ID: "handle", BuildID: 12}, "abc", []string{"cat", "x"})
	for _, piece := range []string{"caf\xc3", "\xa9 \xff", "\xe2\x98"} {
		if _, err := io.WriteString(r.stdout, piece); err != nil {
			t.Fatal(err)
		}
	}
	io.WriteString(r.stderr, "bad\n")
	io.WriteString(r.notices, "\r\nreconnected after 4s\r\n")
	if err := r.end(api.Container{BuildID: 12}, hijack.Result{Session: "abc", Detached: true}, &failure{errors.New("gone"), 255}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"schema":1,"type":"session","session":"abc","build":12,"container":"handle","command":["cat","x"]}`,
		`{"schema":1,"type":"log","stream":"stdout","time":1,"text":"caf"}`,
		`{"schema":1,"type":"log","stream":"stdout","time":1,"text":"é ` + "\uFFFD" + `","bytes":"w6kg/w=="}`,
		`{"schema":1,"type":"log","stream":"stderr","time":1,"text":"bad\n"}`,
		`{"schema":1,"type":"notice","text":"reconnected after 4s"}`,
		`{"schema":1,"type":"log","stream":"stdout","time":1,"text":"` + "\uFFFD\uFFFD" + `","bytes":"4pg="}`,
		`{"schema":1,"type":"end","build":12,"exit_status":255,"session":"abc","detached":true,"error":"gone"}`,
	}
	lines := bytes.Split(bytes.TrimSpace(written.Bytes()), []byte("\n"))
	if len(lines) != len(want) {
		t.Fatalf("got %d records, want %d:\n%s", len(lines), len(want), written.Bytes())
	}
	for i, line := range lines {
		if got := withoutTime(t, line); got != withoutTime(t, []byte(want[i])) {
			t.Errorf("got %s, want %s", line, want[i])
		}
	}
}

// withoutTime gives a record in one form for all, without the time in it.
func withoutTime(t *testing.T, line []byte) string {
	t.Helper()
	var record map[string]any
	if err := json.Unmarshal(line, &record); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	delete(record, "time")
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSessionRecordsThatCannotBeWritten(t *testing.T) {
	reader, writer := io.Pipe()
	reader.Close()
	r := newSessionRecorder(writer)
	if _, err := io.WriteString(r.stdout, "out"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("writing gives %v", err)
	}
	if err := r.end(api.Container{}, hijack.Result{}, nil); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the end gives %v", err)
	}
}
