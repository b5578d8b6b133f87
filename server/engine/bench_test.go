package engine

import "testing"

// BenchmarkBuild is a build of one task that does nothing, without a client and
// with containers that cost nothing.
func BenchmarkBuild(b *testing.B) {
	s := newServer(b)
	s.start()
	for b.Loop() {
		s.run(good)
	}
}

// BenchmarkMillionLines is a build whose task writes a million lines, less what the
// machine in memory takes to write them: that is BenchmarkMillionLinesUnread.
func BenchmarkMillionLines(b *testing.B) {
	s := newServer(b)
	s.start()
	for b.Loop() {
		s.run(script("a", "seq 1000000"))
	}
}

func BenchmarkMillionLinesUnread(b *testing.B) {
	s := newServer(b)
	s.start()
	for b.Loop() {
		s.run(script("a", "seq 1000000 > out"))
	}
}
