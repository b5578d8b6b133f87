package runtimetest

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
)

var archiveTests = map[string]func(*suite, *testing.T){
	"WhatLeavesIsRefused": func(s *suite, t *testing.T) {
		for name, entries := range map[string][]entry{
			"parent":                  {tarFile("../escaped", 0o644, "x")},
			"parent within":           {tarFile("a/../../escaped", 0o644, "x")},
			"absolute":                {tarFile("/tmp/escaped", 0o644, "x")},
			"parent directory":        {tarDir("..", 0o777)},
			"absolute directory":      {tarDir("/tmp/escaped-dir", 0o777)},
			"parent symlink":          {tarSymlink("../escaped", "x")},
			"through a symlink":       {tarSymlink("link", "/tmp"), tarFile("link/escaped", 0o644, "x")},
			"through a relative one":  {tarSymlink("link", "../../.."), tarFile("link/escaped", 0o644, "x")},
			"through a chain":         {tarSymlink("a", "b"), tarSymlink("b", "/tmp"), tarFile("a/escaped", 0o644, "x")},
			"directory through one":   {tarSymlink("link", "/tmp"), tarDir("link/escaped", 0o755)},
			"symlink through one":     {tarSymlink("link", "/tmp"), tarSymlink("link/escaped", "x")},
			"hard link to parent":     {tarLink("link", "../../etc/passwd")},
			"hard link to absolute":   {tarLink("link", "/etc/passwd")},
			"hard link through one":   {tarSymlink("etc", "/etc"), tarLink("link", "etc/passwd")},
			"hard link into one":      {tarFile("file", 0o644, "x"), tarSymlink("link", "/tmp"), tarLink("link/escaped", "file")},
			"hard link to nothing":    {tarLink("link", "nothing")},
			"hard link to directory":  {tarDir("dir", 0o755), tarLink("link", "dir")},
			"character device":        {tarOther(tar.TypeChar, "null")},
			"block device":            {tarOther(tar.TypeBlock, "disk")},
			"named pipe":              {tarOther(tar.TypeFifo, "pipe")},
			"below a file":            {tarFile("file", 0o644, "x"), tarFile("file/below", 0o644, "x")},
			"file over directory":     {tarFile("dir/file", 0o644, "x"), tarFile("dir", 0o644, "x")},
			"file over the top":       {tarFile(".", 0o644, "x")},
			"symlink over directory":  {tarFile("dir/file", 0o644, "x"), tarSymlink("dir", "/tmp")},
			"symlink without target":  {tarSymlink("link", "")},
			"link to itself":          {tarSymlink("loop", "loop"), tarFile("loop/file", 0o644, "x")},
			"hard link to symlink up": {tarSymlink("up", "/tmp"), tarLink("hard", "up"), tarFile("hard/escaped", 0o644, "x")},
		} {
			t.Run(name, func(t *testing.T) { s.wantRefused(t, tarBytes(t, entries...)) })
		}
		found := runScript(t, s.common(t), "ls -d /tmp/escaped* /escaped* 2>/dev/null || :")
		equal(t, "what was written outside", found, "")
	},
	"WhatIsNoTarIsRefused": func(s *suite, t *testing.T) {
		whole := tarBytes(t, tarFile("first", 0o644, strings.Repeat("x", 3000)), tarFile("second", 0o644, "y"))
		for name, stream := range map[string][]byte{
			"nothing":             nil,
			"text":                []byte(strings.Repeat("this is no tar stream. ", 100)),
			"short text":          []byte("{}"),
			"noise":               randomBytes(4096),
			"gzip":                append([]byte{0x1f, 0x8b, 8, 0}, randomBytes(4096)...),
			"cut in a header":     whole[:300],
			"cut after a header":  whole[:512],
			"cut in contents":     whole[:1500],
			"cut in padding":      whole[:512+3000+10],
			"cut between entries": whole[:512+3072],
			"cut before its end":  whole[:512+3072+1024],
			"damaged header":      damaged(whole, 512+3072+5),
		} {
			t.Run(name, func(t *testing.T) { s.wantRefused(t, stream) })
		}
	},
	"EmptyTree": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t)))
		equal(t, "the tree", listing(streamOut(t, volume, ".")), "")
	},
	"WithPadding": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		padded := append(tarBytes(t, tarFile("file", 0o644, "x")), make([]byte, 10240)...)
		check(t, volume.StreamIn(testContext(t), ".", bytes.NewReader(padded)))
		equal(t, "the tree", listing(streamOut(t, volume, ".")), "file 0 644 \"x\"\n")
	},
	"LastOfANameWins": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t,
			tarFile("a", 0o644, "first"), tarFile("a", 0o600, "2nd"),
			tarFile("b", 0o644, "file"), tarSymlink("b", "a"),
			tarSymlink("c", "a"), tarFile("c", 0o644, "file"),
			tarSymlink("d", "/tmp"), tarDir("d", 0o755), tarFile("d/file", 0o644, "in d"),
			tarFile("e", 0o644, "one"), tarLink("f", "e"), tarFile("e", 0o644, "two"))))
		equal(t, "the tree", listing(streamOut(t, volume, ".")), `a 0 600 "2nd"
b -> a
c 0 644 "file"
d dir 755
d/file 0 644 "in d"
e 0 644 "two"
f 0 644 "one"
`)
	},
	"ThroughLinksWithin": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t,
			tarDir("lib", 0o755), tarSymlink("lib64", "lib"), tarFile("lib64/file", 0o644, "x"))))
		equal(t, "the tree", listing(streamOut(t, volume, ".")), "lib dir 755\nlib/file 0 644 \"x\"\nlib64 -> lib\n")
	},
	"Names": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		long := strings.Repeat("long-directory-name/", 20) + strings.Repeat("n", 200)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t,
			tarFile("./dot/./slash//file", 0o644, "1"), tarFile("a/../b", 0o644, "2"), tarFile(long, 0o644, "3"),
			tarFile("..hidden", 0o644, "4"), tarFile("new\nline", 0o644, "5"), tarFile("-rf", 0o644, "6"))))
		for path, want := range map[string]string{"dot/slash/file": "1", "b": "2", long: "3", "..hidden": "4", "new\nline": "5", "-rf": "6"} {
			entries := streamOut(t, volume, path)
			if len(entries) != 1 || entries[0].contents != want {
				t.Errorf("at %q are %q", path, listing(entries))
			}
		}
	},
	"ReadOnlyDirectories": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		entries := []entry{tarDir("dir", 0o555), tarFile("dir/file", 0o444, "x"), tarDir("dir/sub", 0o500), tarFile("dir/sub/file", 0o400, "y")}
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, entries...)))
		equal(t, "the tree", listing(streamOut(t, volume, ".")), listing(entries))
		check(t, volume.Destroy(testContext(t)))
	},
	"SpecialBits": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		entries := []entry{tarDir("sticky", 0o1777), tarFile("suid", 0o4755, "x")}
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, entries...)))
		equal(t, "the tree", listing(streamOut(t, volume, ".")), listing(entries))
	},
	"GlobalHeader": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		global := entry{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "of git archive"}}}
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, global, tarFile("file", 0o644, "x"))))
		equal(t, "the tree", listing(streamOut(t, volume, ".")), "file 0 644 \"x\"\n")
	},
	"PathThatLeaves": func(s *suite, t *testing.T) {
		volume := s.volume(t)
		check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarSymlink("up", "/tmp"), tarFile("file", 0o644, ""))))
		for _, path := range []string{"..", "/tmp", "a/../../b", "up", "up/below", "file"} {
			if err := volume.StreamIn(testContext(t), path, tarOf(t, tarFile("escaped", 0o644, "x"))); err == nil {
				t.Errorf("StreamIn at %q gave no error", path)
			}
		}
	},
}

// wantRefused requires a stream to be refused by a *runtime.TarError.
func (s *suite) wantRefused(t *testing.T, stream []byte) {
	t.Helper()
	volume := s.volume(t)
	check(t, volume.StreamIn(testContext(t), ".", tarOf(t, tarFile("before", 0o644, "kept"))))
	err := volume.StreamIn(testContext(t), "deep/er", bytes.NewReader(stream))
	wantTarError(t, err, "the stream")
	equal(t, "what was there before", fmt.Sprint(listing(streamOut(t, volume, "before"))), "before 0 644 \"kept\"\n")
}

func damaged(stream []byte, at int) []byte {
	damaged := bytes.Clone(stream)
	damaged[at] ^= 0x55
	return damaged
}
