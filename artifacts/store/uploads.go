package store

import (
	"sync"
	"time"

	"midge/artifacts"
)

// uploads are the trees that are being sent. An upload has no name but its team
// and its tree, so that one that broke goes on where it was, and two of the same
// tree are one.
type uploads struct {
	grace time.Duration

	mu   sync.Mutex
	open map[uploadKey]*upload
}

type uploadKey struct {
	team string
	root artifacts.Digest
}

// upload keeps what its client was told is there, and what it has sent.
type upload struct {
	kept *keeper
	used time.Time
}

// maxUploads bounds the uploads that are kept; the one that paused longest goes first.
const maxUploads = 1024

func (u *uploads) init(grace time.Duration) {
	u.grace = grace
	u.open = make(map[uploadKey]*upload)
}

// Uploads is how many uploads have begun and not ended.
func (s *Store) Uploads() int {
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	return len(s.uploads.open)
}

// upload gives an upload, begun if there is none.
func (s *Store) upload(team string, root artifacts.Digest) *upload {
	u := &s.uploads
	u.mu.Lock()
	defer u.mu.Unlock()
	key := uploadKey{team, root}
	if u.open[key] == nil {
		u.closeOld(maxUploads - 1)
		u.open[key] = &upload{kept: s.newKeeper()}
	}
	u.open[key].used = time.Now()
	return u.open[key]
}

// closeOld ends uploads that have paused too long, and the oldest until no more than max are left.
func (u *uploads) closeOld(max int) {
	limit := time.Now().Add(-u.grace)
	for {
		var oldest uploadKey
		var used time.Time
		for key, upload := range u.open {
			if used.IsZero() || upload.used.Before(used) {
				oldest, used = key, upload.used
			}
		}
		if used.IsZero() || len(u.open) <= max && used.After(limit) {
			return
		}
		u.open[oldest].kept.close()
		delete(u.open, oldest)
	}
}

// expire ends the uploads that have paused too long.
func (u *uploads) expire() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closeOld(maxUploads)
}

// endUpload ends an upload whose tree is there.
func (s *Store) endUpload(team string, root artifacts.Digest) {
	u := &s.uploads
	u.mu.Lock()
	defer u.mu.Unlock()
	key := uploadKey{team, root}
	if upload := u.open[key]; upload != nil {
		upload.kept.close()
		delete(u.open, key)
	}
}
