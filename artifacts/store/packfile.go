package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"midge/artifacts"
)

// A pack file is a pack as artifacts describes it and, behind that, a footer that
// says which team it is of and where its frames and objects are. The footer ends
// in its digest, its length and footerMagic.
const (
	footerMagic = "midgeft\x01"
	tailSize    = artifacts.DigestSize + 8 + len(footerMagic)
)

// place is where an object is: the pack, and the object's number in it.
type place struct{ pack, object uint32 }

// frameAt is where a frame is in its pack.
type frameAt struct {
	offset int64
	length uint32 // encoded
	raw    uint32
}

// span is where an object is in its frame, decompressed.
type span struct{ frame, offset, size uint32 }

// pack is a pack of the store. It does not change.
type pack struct {
	id      uint32
	team    string
	created time.Time
	path    string
	size    int64 // of the file
	frames  []frameAt
	objects []span
}

// contents is what a pack's objects are; it is not kept in memory.
type contents []artifacts.Object

func packName(id uint32) string { return fmt.Sprintf("%08x.pack", id) }

// packWriter writes a pack file beside the others. Frames may be added by one
// goroutine at a time.
type packWriter struct {
	file    *os.File
	team    string
	size    int64
	frames  []frameAt
	objects []span
	keys    contents
	created time.Time // set when it is sealed
}

// numbers gives the number of each object.
func (w *packWriter) numbers() map[artifacts.Key]uint32 {
	numbers := make(map[artifacts.Key]uint32, len(w.keys))
	for i, object := range w.keys {
		numbers[object.Key] = uint32(i)
	}
	return numbers
}

func (s *Store) newPackWriter(team string) (*packWriter, error) {
	f, err := os.CreateTemp(filepath.Join(s.dir, temporaryDir), "pack-")
	if err != nil {
		return nil, fmt.Errorf("begin a pack: %w", err)
	}
	w := &packWriter{file: f, team: team}
	if err := w.write(artifacts.AppendPackStart(nil)); err != nil {
		return nil, errors.Join(err, w.discard())
	}
	return w, nil
}

func (w *packWriter) write(p []byte) error {
	n, err := w.file.Write(p)
	w.size += int64(n)
	if err != nil {
		return fmt.Errorf("write a pack: %w", err)
	}
	return nil
}

// add writes a frame whose objects those are.
func (w *packWriter) add(objects []artifacts.Object, encoded []byte) error {
	at := frameAt{offset: w.size, length: uint32(len(encoded))}
	if err := w.write(encoded); err != nil {
		return err
	}
	for _, object := range objects {
		w.objects = append(w.objects, span{uint32(len(w.frames)), at.raw, uint32(object.Size)})
		at.raw += uint32(object.Size)
	}
	w.keys = append(w.keys, objects...)
	w.frames = append(w.frames, at)
	return nil
}

// seal writes the footer and waits until all of it is on disk.
func (w *packWriter) seal(created time.Time) error {
	w.created = created
	if err := w.write(artifacts.AppendPackEnd(nil)); err != nil {
		return err
	}
	if err := w.write(w.footer(created)); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("sync a pack: %w", err)
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("close a pack: %w", err)
	}
	return nil
}

func (w *packWriter) footer(created time.Time) []byte {
	b := binary.AppendUvarint(nil, uint64(len(w.team)))
	b = append(b, w.team...)
	b = binary.AppendVarint(b, created.Unix())
	b = binary.AppendUvarint(b, uint64(len(w.frames)))
	next := 0
	for i, frame := range w.frames {
		count := 0
		for next+count < len(w.objects) && w.objects[next+count].frame == uint32(i) {
			count++
		}
		b = binary.AppendUvarint(b, uint64(frame.offset))
		b = binary.AppendUvarint(b, uint64(frame.length))
		b = binary.AppendUvarint(b, uint64(count))
		for _, object := range w.keys[next : next+count] {
			b = append(b, byte(object.Key.Kind))
			b = append(b, object.Key.Digest[:]...)
			b = binary.AppendUvarint(b, uint64(object.Size))
		}
		next += count
	}
	digest := artifacts.Sum(b)
	length := len(b)
	b = append(b, digest[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(length))
	return append(b, footerMagic...)
}

// discard removes what was written.
func (w *packWriter) discard() error {
	err := w.file.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(err, os.Remove(w.file.Name()))
}

// readPack reads the footer of a pack file.
func readPack(path string) (*pack, contents, error) {
	name := strings.TrimSuffix(filepath.Base(path), ".pack")
	id, err := strconv.ParseUint(name, 16, 32)
	if err != nil {
		return nil, nil, fmt.Errorf("%q is not a pack's name", filepath.Base(path))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	footer, size, err := readFooter(f)
	if err != nil {
		return nil, nil, fmt.Errorf("pack %s: %w", filepath.Base(path), err)
	}
	p := &pack{id: uint32(id), path: path, size: size}
	keys, err := p.decodeFooter(footer)
	if err != nil {
		return nil, nil, fmt.Errorf("pack %s: %w", filepath.Base(path), err)
	}
	return p, keys, nil
}

var errFooter = errors.New("its footer is damaged")

func readFooter(f *os.File) (footer []byte, size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	size = info.Size()
	if size < int64(tailSize) {
		return nil, 0, errFooter
	}
	tail := make([]byte, tailSize)
	if _, err := f.ReadAt(tail, size-int64(tailSize)); err != nil {
		return nil, 0, err
	}
	length := binary.LittleEndian.Uint64(tail[artifacts.DigestSize:])
	if string(tail[artifacts.DigestSize+8:]) != footerMagic || length > uint64(size)-uint64(tailSize) {
		return nil, 0, errFooter
	}
	footer = make([]byte, length)
	if _, err := f.ReadAt(footer, size-int64(tailSize)-int64(length)); err != nil {
		return nil, 0, err
	}
	if artifacts.Sum(footer) != artifacts.Digest(tail[:artifacts.DigestSize]) {
		return nil, 0, errFooter
	}
	return footer, size, nil
}

func (p *pack) decodeFooter(footer []byte) (contents, error) {
	r := bytes.NewReader(footer)
	team := make([]byte, readCount(r))
	io.ReadFull(r, team)
	p.team = string(team)
	created, err := binary.ReadVarint(r)
	if err != nil {
		return nil, errFooter
	}
	p.created = time.Unix(created, 0)
	var keys contents
	for range readCount(r) {
		at := frameAt{offset: int64(readNumber(r)), length: uint32(readNumber(r))}
		for range readCount(r) {
			var object artifacts.Object
			kind, err := r.ReadByte()
			if err != nil {
				return nil, errFooter
			}
			object.Key.Kind = artifacts.Kind(kind)
			if _, err := io.ReadFull(r, object.Key.Digest[:]); err != nil {
				return nil, errFooter
			}
			object.Size = int(readNumber(r))
			p.objects = append(p.objects, span{uint32(len(p.frames)), at.raw, uint32(object.Size)})
			at.raw += uint32(object.Size)
			keys = append(keys, object)
		}
		p.frames = append(p.frames, at)
	}
	if r.Len() > 0 {
		return nil, errFooter
	}
	return keys, nil
}

// readCount reads how many of something follow, which are no more than there are
// bytes. The footer's digest was right, so that what is wrong here was never written.
func readCount(r *bytes.Reader) int { return int(min(readNumber(r), uint64(r.Len()))) }

func readNumber(r *bytes.Reader) uint64 {
	v, err := binary.ReadUvarint(r)
	if err != nil {
		return 0
	}
	return v
}

// encodedFrame reads a frame as it stands in the file. A pack that was removed
// meanwhile gives fs.ErrNotExist.
func (p *pack) encodedFrame(number uint32) ([]byte, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	at := p.frames[number]
	encoded := make([]byte, at.length)
	if _, err := f.ReadAt(encoded, at.offset); err != nil {
		return nil, fmt.Errorf("read pack %s: %w", filepath.Base(p.path), err)
	}
	return encoded, nil
}

// rawFrame reads a frame and decompresses it.
func (p *pack) rawFrame(number uint32) ([]byte, error) {
	encoded, err := p.encodedFrame(number)
	if err != nil {
		return nil, err
	}
	frame, err := artifacts.ParseFrame(encoded)
	if err != nil {
		return nil, fmt.Errorf("pack %s is damaged: %w", filepath.Base(p.path), err)
	}
	if frame.Raw() != int(p.frames[number].raw) {
		return nil, fmt.Errorf("pack %s is damaged: a frame is not the one in its footer", filepath.Base(p.path))
	}
	raw, err := frame.Decompress(nil)
	if err != nil {
		return nil, fmt.Errorf("pack %s is damaged: %w", filepath.Base(p.path), err)
	}
	return raw, nil
}
