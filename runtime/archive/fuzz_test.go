package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"testing"

	"midge/runtime"
	"midge/runtime/archive"
)

// FuzzExtract has any bytes unpacked: nothing outside may change, and what is
// taken must come out as it went in.
func FuzzExtract(f *testing.F) {
	whole := stream(f, file("a/b", "contents"), symlink("link", "../outside"), file("link/file", "escaped"))
	f.Add(whole.Bytes())
	f.Add(whole.Bytes()[:700])
	f.Add(stream(f, tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "../outside/file"}).Bytes())
	f.Add(stream(f, tar.Header{Typeflag: tar.TypeDir, Name: "../outside/dir/", Mode: 0o777}).Bytes())
	f.Add(stream(f).Bytes())
	f.Add([]byte("no tar"))
	f.Fuzz(extractAnything)
}

// FuzzExtractEntries has streams unpacked that are made of entries which get in
// each other's way: of each two bytes one chooses kind and name, one the target.
func FuzzExtractEntries(f *testing.F) {
	f.Add([]byte{0x20, 3, 0x02, 0})                   // a link, and a file through it
	f.Add([]byte{0x20, 5, 0x32, 0, 0x02, 0, 0x22, 4}) // links through links
	f.Add([]byte{0x13, 0, 0x03, 0, 0x23, 6})          // a directory, a file and a link of one name
	f.Fuzz(func(t *testing.T, program []byte) {
		names := []string{"a", "a/b", "a/b/c", "d", "a/../d", ".", "d/e", "../outside/x", "/outside", "d/../a/x", "..", "b", "c", "./a//b", "e", "d/a"}
		targets := []string{"a", "a/b", "../a", "../outside", "..", "/", ".", "d", "../../outside/file", "b", "a/b/c", "../d", "e", "x", "../outside/file", "d/a"}
		kinds := []byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeFifo, tar.TypeChar, tar.TypeBlock, tar.TypeSymlink}
		var headers []tar.Header
		for ; len(program) >= 2 && len(headers) < 64; program = program[2:] {
			header := tar.Header{
				Typeflag: kinds[program[0]>>4&7], Name: names[program[0]&15], Linkname: targets[program[1]&15],
				Mode: int64(program[1]>>4) * 0o111,
			}
			headers = append(headers, header)
		}
		extractAnything(t, stream(t, headers...).Bytes())
	})
}

func extractAnything(t *testing.T, contents []byte) {
	for _, options := range []archive.Options{
		{MaxBytes: 1 << 20}, {MaxBytes: 1 << 20, Path: "a/b", ConfineLinks: true, DropSetID: true},
	} {
		dir, checkOutside := inside(t)
		err := archive.Extract(t.Context(), bytes.NewReader(contents), dir, options)
		checkOutside()
		var refused *runtime.TarError
		switch {
		case err != nil && !errors.As(err, &refused):
			t.Errorf("the error is %v (%T), want a *TarError", err, err)
		case err == nil:
			first := written(t, dir, ".")
			again, checkOutside := inside(t)
			if err := archive.Extract(t.Context(), bytes.NewReader(first), again, archive.Options{}); err != nil {
				t.Errorf("what was written is refused: %v", err)
			} else if !bytes.Equal(written(t, again, "."), first) {
				t.Error("what was written comes back as another tree")
			}
			checkOutside()
		}
	}
}
