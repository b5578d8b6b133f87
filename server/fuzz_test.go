package server

import (
	"archive/tar"
	"bytes"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
)

func FuzzBuildFilter(f *testing.F) {
	for _, query := range []string{"", "limit=2&to=3", "timestamps=true&from=1&to=2", "since=3&until=4", "status=failed&status=x", "limit=-1", "limit=99999999999"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		filter, err := buildFilter(values)
		if err == nil && (filter.Limit < 1 || filter.Limit > maxPage || filter.Since < 0 || filter.Until < 0) {
			t.Errorf("%q gave %+v", query, filter)
		}
	})
}

func FuzzParseLocalUser(f *testing.F) {
	for _, text := range []string{"ann:secret", "ann:$2a$10$x", "ann", ":", "a b:c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		user, err := ParseLocalUser(text)
		if err == nil && user.Name+":"+user.Password != text {
			t.Errorf("%q gave %+v", text, user)
		}
	})
}

func FuzzAcceptsZstd(f *testing.F) {
	for _, accepts := range []string{"", "gzip", "zstd", "gzip, zstd;q=0.5", "zstd;q=0", "zstd ; q=0", ",,;"} {
		f.Add(accepts)
	}
	f.Fuzz(func(t *testing.T, accepts string) {
		if acceptsZstd(accepts) && !bytes.Contains([]byte(accepts), []byte("zstd")) {
			t.Errorf("%q does not name zstd", accepts)
		}
	})
}

// Whatever is given as a backup, nothing is written but in the data dir.
func FuzzRestore(f *testing.F) {
	for _, headers := range [][]tar.Header{
		{{Name: "midge.db", Mode: 0o600}, {Name: "builds/", Typeflag: tar.TypeDir, Mode: 0o700}, {Name: "builds/1", Mode: 0o600}},
		{{Name: "../outside"}, {Name: "/outside"}},
		{{Name: "link", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "link/outside"}},
		{{Name: "midge.db"}, {Name: backupEndName}},
	} {
		var backup bytes.Buffer
		w := tar.NewWriter(&backup)
		for _, header := range headers {
			if err := w.WriteHeader(&header); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(backup.Bytes())
	}
	f.Fuzz(func(t *testing.T, backup []byte) {
		parent := t.TempDir()
		// What is no backup is an error, whatever it has come to until then.
		_, _ = Restore(bytes.NewReader(backup), filepath.Join(parent, "data"))
		if there, err := filepath.Glob(filepath.Join(parent, "*")); err != nil || len(there) > 1 {
			t.Errorf("there are %v (%v)", there, err)
		}
	})
}

// What a request asks for of a file is a part of it, or all.
func FuzzRangeFrom(f *testing.F) {
	for _, ranges := range []string{"bytes=3-", "bytes=-3", "bytes=3-5", "bytes=9223372036854775807-", "bytes=10-", "lines=1-", ""} {
		f.Add(ranges, `"tag"`, int64(10))
	}
	f.Fuzz(func(t *testing.T, ranges, tag string, size int64) {
		r := &http.Request{Header: http.Header{"Range": {ranges}, "If-Range": {tag}}}
		if from := rangeFrom(r, `"tag"`, size); from != 0 && (from < 0 || from >= size || tag != `"tag"`) {
			t.Errorf("%q of %d bytes begins at %d", ranges, size, from)
		}
	})
}
