package scan

import (
	"errors"
	"io"
	"sync"

	"midge/artifacts"
)

// contentReader reads files and finds the objects they are kept as. It holds the
// memory for it, so that one is used for many files.
type contentReader struct {
	chunker *artifacts.Chunker
	small   []byte
	key     artifacts.Key // of the file that was read last; zero when it was empty
}

var readers = sync.Pool{New: func() any { return &contentReader{} }}

// read reads a file of an open directory and gives the chunks of a large one.
// When the file was not the same from before to after it gives errChanged.
func (r *contentReader) read(d *dir, name string, object func(artifacts.Key, []byte) error) (chunks []artifacts.Chunk, i info, err error) {
	f, err := d.open(name)
	if err != nil {
		return nil, info{}, errGone(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before, err := f.stat()
	if err != nil {
		return nil, info{}, err
	}
	if before.kind != artifacts.TypeFile {
		return nil, info{}, errChanged
	}
	var size int64
	if before.size <= artifacts.MaxContent {
		size, err = r.readSmall(f, before.size, object)
	} else {
		chunks, err = r.readLarge(f, object)
		size = artifacts.ListSize(chunks)
	}
	if err != nil {
		return nil, info{}, err
	}
	after, err := f.stat()
	if err != nil {
		return nil, info{}, err
	}
	if size != before.size || !after.same(before) {
		return nil, info{}, errChanged
	}
	return chunks, after, nil
}

func (r *contentReader) readSmall(f io.Reader, size int64, object func(artifacts.Key, []byte) error) (int64, error) {
	if int64(cap(r.small)) < size+1 {
		r.small = make([]byte, max(size+1, 64<<10))
	}
	// One byte more than there should be tells whether the file has grown.
	n, err := io.ReadFull(f, r.small[:size+1])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, err
	}
	if int64(n) != size {
		return int64(n), nil
	}
	r.key = artifacts.Key{}
	if n == 0 {
		return 0, nil
	}
	content := r.small[:n]
	r.key = artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum(content)}
	if object == nil {
		return size, nil
	}
	return size, object(r.key, content)
}

func (r *contentReader) readLarge(f io.Reader, object func(artifacts.Key, []byte) error) ([]artifacts.Chunk, error) {
	if r.chunker == nil {
		r.chunker = artifacts.NewChunker(f)
	}
	r.chunker.Reset(f)
	var chunks []artifacts.Chunk
	for {
		chunk, err := r.chunker.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		key := artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum(chunk)}
		chunks = append(chunks, artifacts.Chunk{Digest: key.Digest, Size: int32(len(chunk))})
		if object != nil {
			if err := object(key, chunk); err != nil {
				return nil, err
			}
		}
	}
	if artifacts.ListSize(chunks) <= artifacts.MaxContent {
		return nil, errChanged
	}
	list := artifacts.EncodeList(chunks)
	if len(list) > artifacts.MaxObject {
		return nil, errTooLarge
	}
	r.key = artifacts.Key{Kind: artifacts.KindList, Digest: artifacts.Sum(list)}
	if object == nil {
		return chunks, nil
	}
	return chunks, object(r.key, list)
}

// ReadChunks reads a large file and gives its chunks, and the key of their list.
func ReadChunks(r io.Reader) ([]artifacts.Chunk, artifacts.Key, error) {
	reader := readers.Get().(*contentReader)
	defer readers.Put(reader)
	chunks, err := reader.readLarge(r, nil)
	return chunks, reader.key, err
}

var errTooLarge = errors.New("the file is too large for an artifact, whose files can have about 200 GB")
