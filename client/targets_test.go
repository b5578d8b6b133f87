package client

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func newTargetFile(t *testing.T) TargetFile {
	dir := t.TempDir()
	return TargetFile{Path: filepath.Join(dir, "config", "targets.yml"), FlyPath: filepath.Join(dir, "flyrc")}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

const flyTargets = `targets:
  ci:
    api: https://ci.example.com
    team: main
    insecure: true
    token: {type: bearer, value: the-token}
    ca_cert: |
      -----BEGIN CERTIFICATE-----
`

func TestTargetsAreSaved(t *testing.T) {
	file := newTargetFile(t)
	save := func(targets map[string]Target) error {
		targets["here"] = Target{URL: "http://127.0.0.1:8080", Team: "main", Token: &TargetToken{Type: "bearer", Value: "secret"}}
		return nil
	}
	if err := file.Update(save); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file.Path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	targets, err := file.Load()
	if err != nil || targets["here"].Token.Value != "secret" || targets["here"].Fly {
		t.Errorf("Load() = %+v, %v", targets, err)
	}
	refuse := errors.New("no")
	if err := file.Update(func(map[string]Target) error { return refuse }); err != refuse {
		t.Errorf("Update() = %v", err)
	}
}

func TestFlyTargetsAreReadAndNotWritten(t *testing.T) {
	file := newTargetFile(t)
	writeFile(t, file.FlyPath, flyTargets)
	name, target, err := file.Select("ci")
	if err != nil || name != "ci" || !target.Fly || !target.Insecure || target.Token.Value != "the-token" {
		t.Fatalf("Select() = %q, %+v, %v", name, target, err)
	}
	err = file.Update(func(targets map[string]Target) error {
		if len(targets) != 0 {
			t.Errorf("fly's targets are among those to be saved: %v", targets)
		}
		targets["ci"] = Target{URL: "https://other.example.com"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if content, _ := os.ReadFile(file.FlyPath); string(content) != flyTargets {
		t.Errorf("fly's file has become %q", content)
	}
	if _, target, _ := file.Select("ci"); target.URL != "https://other.example.com" {
		t.Errorf("midge's own target does not count: %+v", target)
	}
}

func TestSelect(t *testing.T) {
	one := "targets: {here: {api: http://127.0.0.1:8080}}"
	two := "targets: {here: {api: http://127.0.0.1:8080}, there: {api: https://midge.example.com}}"
	local := "targets: {local: {api: http://127.0.0.1:9090}, there: {api: https://midge.example.com}}"
	tests := []struct{ name, own, choice, wantName, wantURL string }{
		{"nothing saved", "", "", "local", "unix:///run/midge/midge.sock"},
		{"the only one", one, "", "here", "http://127.0.0.1:8080"},
		{"the local one of several", two, "", "local", "unix:///run/midge/midge.sock"},
		{"the local one as it was saved", local, "", "local", "http://127.0.0.1:9090"},
		{"by name", two, "there", "there", "https://midge.example.com"},
		{"local by name", one, "local", "local", "unix:///run/midge/midge.sock"},
		{"by URL", two, "unix:///tmp/s", "", "unix:///tmp/s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := newTargetFile(t)
			writeFile(t, file.FlyPath, flyTargets)
			if test.own != "" {
				writeFile(t, file.Path, test.own)
			}
			name, target, err := file.Select(test.choice)
			if err != nil || name != test.wantName || target.URL != test.wantURL {
				t.Errorf("Select(%q) = %q, %+v, %v", test.choice, name, target, err)
			}
		})
	}
}

func TestUnknownTarget(t *testing.T) {
	file := newTargetFile(t)
	writeFile(t, file.Path, "targets: {staging: {api: 'http://127.0.0.1:8080'}, tests: {api: 'http://127.0.0.1:8080'}}")
	_, _, err := file.Select("stagin")
	const want = `there is no target "stagin"; the nearest is "staging"; log in to a new one with: midge -t stagin login -c URL`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestFilesThatAreNoTargets(t *testing.T) {
	for _, content := range []string{"targets: [", "- a\n- b\n", "\x00\x01", "targets: {a: [1]}"} {
		file := newTargetFile(t)
		writeFile(t, file.Path, content)
		var wrong *TargetFileError
		if _, err := file.Load(); !errors.As(err, &wrong) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: Load() = %v", content, err)
		}
		err := file.Update(func(targets map[string]Target) error {
			t.Errorf("%q: there is something to change", content)
			return nil
		})
		if !errors.As(err, &wrong) {
			t.Errorf("%q: Update() = %v", content, err)
		}
		if after, _ := os.ReadFile(file.Path); string(after) != content {
			t.Errorf("%q has become %q", content, after)
		}
	}
}

func TestTwoLoginsAtOnce(t *testing.T) {
	file := newTargetFile(t)
	var logins sync.WaitGroup
	const n = 20
	for i := range n {
		logins.Go(func() {
			err := file.Update(func(targets map[string]Target) error {
				targets[fmt.Sprint("target-", i)] = Target{URL: "http://127.0.0.1:8080"}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	logins.Wait()
	if targets, err := file.Load(); err != nil || len(targets) != n {
		t.Errorf("%d of %d targets were saved, %v", len(targets), n, err)
	}
}

func TestTargetFileBehindLink(t *testing.T) {
	file := newTargetFile(t)
	elsewhere := filepath.Join(t.TempDir(), "dotfiles.yml")
	writeFile(t, elsewhere, "targets: {}")
	writeFile(t, file.Path, "")
	if err := os.Remove(file.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, file.Path); err != nil {
		t.Fatal(err)
	}
	err := file.Update(func(targets map[string]Target) error {
		targets["here"] = Target{URL: "http://127.0.0.1:8080"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(file.Path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
	if content, _ := os.ReadFile(elsewhere); !strings.Contains(string(content), "here") {
		t.Errorf("what it leads to is %q", content)
	}
}
