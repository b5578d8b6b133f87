package artifacts

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"
)

func random(seed byte, n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(p)
	return p
}

func chunksOf(t testing.TB, r io.Reader) [][]byte {
	t.Helper()
	c := NewChunker(r)
	if _, whole, err := c.Whole(); whole || err != nil {
		t.Fatalf("a large file is one content: %v", err)
	}
	var chunks [][]byte
	for {
		chunk, err := c.Next()
		if errors.Is(err, io.EOF) {
			return chunks
		}
		if err != nil {
			t.Fatal(err)
		}
		chunks = append(chunks, slices.Clone(chunk))
	}
}

func TestChunks(t *testing.T) {
	content := random(1, 40<<20)
	chunks := chunksOf(t, bytes.NewReader(content))
	if !bytes.Equal(slices.Concat(chunks...), content) {
		t.Fatal("the chunks are not the file")
	}
	for i, chunk := range chunks[:len(chunks)-1] {
		if len(chunk) < chunkMin || len(chunk) > MaxContent {
			t.Errorf("chunk %d has %d bytes", i, len(chunk))
		}
	}
	if average := len(content) / len(chunks); average < chunkAverage/2 || average > 2*chunkAverage {
		t.Errorf("%d chunks have %d bytes on average", len(chunks), average)
	}
	// The pieces in which a file is read do not matter.
	again := chunksOf(t, iotest.HalfReader(bytes.NewReader(content)))
	if !slices.EqualFunc(chunks, again, bytes.Equal) {
		t.Error("the chunks depend on how the file is read")
	}
}

// TestChunkDigestIsStable holds the cutting to what was stored by earlier versions.
func TestChunkDigestIsStable(t *testing.T) {
	var list []Chunk
	for _, chunk := range chunksOf(t, bytes.NewReader(random(2, 12<<20))) {
		list = append(list, Chunk{Sum(chunk), int32(len(chunk))})
	}
	const want = "aca88103f6f9e3475f726f48775e6430a93b32066af078c966363c31c7b4bf1d"
	if got := Sum(EncodeList(list)).String(); got != want {
		t.Errorf("the list has the digest %s", got)
	}
}

func TestChunksAroundAChangeAlone(t *testing.T) {
	content := random(3, 40<<20)
	changed := slices.Insert(slices.Clone(content), 20<<20, random(4, 1000)...)
	known := make(map[Digest]bool)
	for _, chunk := range chunksOf(t, bytes.NewReader(content)) {
		known[Sum(chunk)] = true
	}
	other := 0
	for _, chunk := range chunksOf(t, bytes.NewReader(changed)) {
		if !known[Sum(chunk)] {
			other += len(chunk)
		}
	}
	if other > 8<<20 {
		t.Errorf("%d bytes are in other chunks", other)
	}
}

func TestWhole(t *testing.T) {
	c := NewChunker(nil)
	for _, n := range []int{0, 1, MaxContent} {
		content := random(5, n)
		c.Reset(bytes.NewReader(content))
		got, whole, err := c.Whole()
		if err != nil || !whole || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %v, %v", n, whole, err)
		}
	}
	broken := errors.New("broken")
	c.Reset(io.MultiReader(bytes.NewReader([]byte("x")), iotest.ErrReader(broken)))
	if _, _, err := c.Whole(); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkChunks(b *testing.B) {
	content := random(6, 32<<20)
	c := NewChunker(nil)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		c.Reset(bytes.NewReader(content))
		for {
			if _, err := c.Next(); err != nil {
				break
			}
		}
	}
}
