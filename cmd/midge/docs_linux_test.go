package main

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The examples of docs/scripting.md do what they say. A command begins with a dollar, goes
// on where there is a greater-than sign, and has its output below.
func TestScriptingExamples(t *testing.T) {
	text, err := os.ReadFile("../../docs/scripting.md")
	if err != nil {
		t.Fatal(err)
	}
	server, dir := startServer(t)
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(executable, filepath.Join(bin, "midge")); err != nil {
		t.Fatal(err)
	}
	examples := examplesIn(string(text))
	if len(examples) < 10 {
		t.Fatalf("only %d examples are found", len(examples))
	}
	for _, example := range examples {
		cmd := exec.Command("sh", "-c", example.command)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), asMidge+"=1", "PATH="+bin+":"+os.Getenv("PATH"), socketOf(server),
			"HOME="+filepath.Join(dir, "home"), "XDG_CACHE_HOME=", "XDG_CONFIG_HOME=")
		output, err := cmd.CombinedOutput()
		if string(output) != example.output {
			t.Errorf("%s\nprints\n%s\nand not\n%s\n%v", example.command, output, example.output, err)
		}
	}
}

type example struct{ command, output string }

func examplesIn(text string) []example {
	var examples []example
	for line := range strings.Lines(text) {
		code, is := strings.CutPrefix(line, "    ")
		last := len(examples) - 1
		if command, begins := strings.CutPrefix(code, "$ "); is && begins {
			examples = append(examples, example{command: command})
		} else if more, goesOn := strings.CutPrefix(code, "> "); is && goesOn {
			examples[last].command += more
		} else if is {
			examples[last].output += code
		}
	}
	return examples
}

var (
	heading = regexp.MustCompile(`(?m)^### (\w+)$`)
	named   = regexp.MustCompile("`(\\w+)`")
)

// docs/events.md has every record, and every field of it.
func TestRecordsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string][]string{}
	places := heading.FindAllSubmatchIndex(text, -1)
	for i, place := range places {
		end := len(text)
		if i+1 < len(places) {
			end = places[i+1][0]
		}
		kind := string(text[place[2]:place[3]])
		fields[kind] = nil
		for line := range bytes.Lines(text[place[1]:end]) {
			cells := strings.Split(string(line), "|")
			if len(cells) < 3 {
				continue
			}
			for _, name := range named.FindAllStringSubmatch(cells[1], -1) {
				fields[kind] = append(fields[kind], name[1])
			}
		}
	}
	records := map[string]any{
		"sending": movingRecord{}, "sent": movedRecord{}, "estimated": nil, "created": createdRecord{}, "log": logRecord{},
		"event": eventRecord{}, "aborting": abortingRecord{}, "receiving": nil, "received": movedRecord{}, "end": endRecord{},
		"session": sessionRecord{}, "notice": noticeRecord{},
	}
	if documented, written := slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(records)); !slices.Equal(documented, written) {
		t.Errorf("documented are %v, written %v", documented, written)
	}
	for kind, record := range records {
		if record == nil {
			continue // It has the fields of another, and its text says so.
		}
		if want := fieldsOf(reflect.TypeOf(record)); !slices.Equal(fields[kind], want) {
			t.Errorf("of %s, documented are %v, written %v", kind, fields[kind], want)
		}
	}
}

// fieldsOf gives the names that a struct's fields have in JSON.
func fieldsOf(of reflect.Type) []string {
	var names []string
	for i := range of.NumField() {
		field := of.Field(i)
		if field.Anonymous {
			names = append(names, fieldsOf(field.Type)...)
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
