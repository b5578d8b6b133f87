package engine

import (
	"testing"
)

// BenchmarkBuild is a build of one task that does nothing, without a client and
// with containers that cost nothing.
func BenchmarkBuild(b *testing.B) {
	s := newServer(b)
	s.start()
	for b.Loop() {
		s.run(good)
	}
}
