package execute

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"midge/client/clienttest"
)

// packedArchive gives a compressed archive of entries; a body goes with each file.
func packedArchive(t *testing.T, entries ...tar.Header) string {
	t.Helper()
	var packed bytes.Buffer
	compressed, err := compressor(&packed)
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewWriter(compressed)
	for _, entry := range entries {
		if entry.Typeflag == tar.TypeReg {
			entry.Size = int64(len("content"))
		}
		if err := archive.WriteHeader(&entry); err != nil {
			t.Fatal(err)
		}
		if entry.Typeflag == tar.TypeReg {
			archive.Write([]byte("content"))
		}
	}
	if err := errors.Join(archive.Close(), compressed.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}

// Whatever an output's archive says, nothing is written outside of the directory.
func TestHostileOutputs(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644} }
	link := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}
	}
	whole := packedArchive(t, file("one"), file("two"))
	tests := map[string]string{
		"above":             packedArchive(t, file("../escaped")),
		"absolute":          packedArchive(t, file("/escaped")),
		"through a link":    packedArchive(t, link("out", ".."), file("out/escaped")),
		"over a link":       packedArchive(t, link("out", "../escaped"), file("out/x")),
		"a hard link above": packedArchive(t, tar.Header{Typeflag: tar.TypeLink, Name: "own", Linkname: "../outside"}),
		"a device":          packedArchive(t, tar.Header{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3, Mode: 0o666}),
		"cut":               whole[:len(whole)-20],
		"damaged":           strings.Replace(whole, whole[20:40], strings.Repeat("x", 20), 1),
		"a page":            "<html>not an archive</html>",
		"nothing":           "",
	}
	for name, archive := range tests {
		t.Run(name, func(t *testing.T) {
			dir := workspace(t, map[string]string{
				"task.yml": "platform: linux\noutputs: [{name: out}]\nrun: {path: /bin/sh, args: [-c, \"echo partial > out/f; exit 3\"]}\nrootfs_uri: raw:///images/busybox/rootfs\n",
				"outside":  "untouched",
			})
			exchanges := clienttest.Read(t, "execute.txt", "task exits 3; its output is still collected")
			exchanges[len(exchanges)-1].Body = archive
			execution, err := Prepare(Request{Config: "task.yml", Directory: dir, LookupEnv: noEnv, Outputs: []Mapping{{"out", "out"}}})
			if err != nil {
				t.Fatal(err)
			}
			outcome, err := execution.Run(t.Context(), concourse(t, exchanges), never(), func(Progress) {})
			if err == nil || !strings.Contains(err.Error(), `the output "out" cannot be put into `) {
				t.Errorf("Run() = %v", err)
			}
			if outcome.TaskStatus != 3 {
				t.Errorf("the outcome is lost: %+v", outcome)
			}
			for _, escaped := range []string{"escaped", filepath.Join("..", "escaped"), "x"} {
				if _, err := os.Lstat(filepath.Join(dir, escaped)); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is there: %v", escaped, err)
				}
			}
			if content, err := os.ReadFile(filepath.Join(dir, "outside")); err != nil || string(content) != "untouched" {
				t.Errorf("the file outside is %q, %v", content, err)
			}
		})
	}
}
