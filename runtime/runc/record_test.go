package runc

import (
	"testing"

	"midge/runtime"
)

// A record is read once, and again after it was forgotten; what is written while it is
// read is newer.
func TestKnownRecords(t *testing.T) {
	var known knownRecords
	reads := 0
	read := func(handle string) (containerRecord, error) {
		reads++
		return containerRecord{Handle: handle, Image: "read"}, nil
	}
	get := func(read func(string) (containerRecord, error), image string, wantReads int) {
		t.Helper()
		r, err := known.get("c", read)
		if err != nil || r.Handle != "c" || r.Image != image || reads != wantReads {
			t.Errorf("got %+v, %v after %d reads, want %s after %d", r, err, reads, image, wantReads)
		}
	}
	missing := func(handle string) (containerRecord, error) {
		return containerRecord{}, &runtime.NotFoundError{Kind: "container", Name: handle}
	}
	if _, err := known.get("c", missing); err == nil {
		t.Error("a record that is not there is known")
	}
	get(read, "read", 1)
	get(read, "read", 1)
	known.forget("c")
	get(func(handle string) (containerRecord, error) {
		known.keep(containerRecord{Handle: handle, Image: "written"})
		return read(handle)
	}, "read", 2)
	get(read, "written", 2)
	known.forget("c")
	get(func(handle string) (containerRecord, error) {
		known.forget(handle)
		return read(handle)
	}, "read", 3)
	get(read, "read", 4)
}
