package artifacts

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// An answer says what the other side lacks of a tree. It names each tree and list
// object that is there but names something that is not, and has a bit for each of
// its entries, parts or chunks. What is below an object that is absent it does not
// know.
const (
	answerVersion = 1

	answerEnd    = 0
	answerAbsent = 0xff // the top itself is absent
)

// Answer is an answer that is being written. The zero value says that all is there.
type Answer struct {
	encoded []byte
}

// AbsentTop says that not even the top of the tree is there.
func (a *Answer) AbsentTop() { a.encoded = append(a.encoded, answerAbsent) }

// Absent says what of an object's count entries, parts or chunks is absent: bit i
// of mask, the lowest first, is for the one at i.
func (a *Answer) Absent(key Key, mask []uint64, count int) {
	a.encoded = append(a.encoded, byte(key.Kind))
	a.encoded = append(a.encoded, key.Digest[:]...)
	a.encoded = binary.AppendUvarint(a.encoded, uint64(count))
	for i := range (count + 7) / 8 {
		var b byte
		if i/8 < len(mask) {
			b = byte(mask[i/8] >> (8 * (i % 8)))
		}
		a.encoded = append(a.encoded, b)
	}
}

// Bytes gives the answer as it is sent.
func (a *Answer) Bytes() []byte {
	return append(append([]byte{answerVersion}, a.encoded...), answerEnd)
}

// maxAnswerCount bounds the entries of one object: no object has room for more.
const maxAnswerCount = MaxObject / minEntry

// ReadAnswer reads an answer and calls absent for each object in it; is tells what
// of its count entries, parts or chunks is absent, and can be called until absent
// returns. top reports that the top itself is absent.
func ReadAnswer(r io.Reader, absent func(key Key, is func(i int) bool, count int) error) (top bool, err error) {
	b := bufio.NewReader(r)
	version, err := b.ReadByte()
	if err != nil {
		return false, answerError(err)
	}
	if version != answerVersion {
		return false, badFormat("answer", "version %d is not known", version)
	}
	for {
		kind, err := b.ReadByte()
		if err != nil {
			return false, answerError(err)
		}
		switch kind {
		case answerEnd:
			return top, nil
		case answerAbsent:
			top = true
		case byte(KindTree), byte(KindList):
			if err := readAbsent(b, Kind(kind), absent); err != nil {
				return false, err
			}
		default:
			return false, badFormat("answer", "an object of kind %d", kind)
		}
	}
}

func readAbsent(b *bufio.Reader, kind Kind, absent func(key Key, is func(i int) bool, count int) error) error {
	key := Key{Kind: kind}
	if _, err := io.ReadFull(b, key.Digest[:]); err != nil {
		return answerError(err)
	}
	count, err := binary.ReadUvarint(b)
	if err != nil {
		return answerError(err)
	}
	if count > maxAnswerCount {
		return badFormat("answer", "%v has %d entries", key, count)
	}
	mask := make([]byte, (count+7)/8)
	if _, err := io.ReadFull(b, mask); err != nil {
		return answerError(err)
	}
	return absent(key, func(i int) bool { return mask[i/8]&(1<<(i%8)) != 0 }, int(count))
}

func answerError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return badFormat("answer", "it is cut")
	}
	return fmt.Errorf("read answer: %w", err)
}

// AppendKey appends a key as requests carry it: KeySize bytes.
func AppendKey(b []byte, key Key) []byte {
	return append(append(b, byte(key.Kind)), key.Digest[:]...)
}

// KeySize is the length of a key in a request.
const KeySize = 1 + DigestSize

// ParseKeys reads keys, one behind the other.
func ParseKeys(b []byte) ([]Key, error) {
	if len(b)%KeySize != 0 {
		return nil, badFormat("request", "%d bytes are no keys", len(b))
	}
	keys := make([]Key, len(b)/KeySize)
	for i := range keys {
		k := b[i*KeySize:]
		keys[i] = Key{Kind(k[0]), Digest(k[1:KeySize])}
		if keys[i].Kind < KindContent || keys[i].Kind > KindTree {
			return nil, badFormat("request", "an object of kind %d", k[0])
		}
	}
	return keys, nil
}

// The ways of the protocol, below the artifacts of a team. docs/artifacts.md says
// what each takes and gives.
const (
	TreesPath   = "/trees/"  // and a digest
	ObjectsPath = "/objects" // ?tree=DIGEST
	HavePath    = "/have"
	FetchPath   = "/fetch"
)

// ErrorTrailer is the trailer of an answer with a pack that has no end, which says why.
const ErrorTrailer = "Midge-Error"

// The content types of what the protocol carries.
const (
	PackType   = "application/vnd.midge.pack"
	AnswerType = "application/vnd.midge.missing"
	KeysType   = "application/vnd.midge.keys"
)
