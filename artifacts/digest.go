package artifacts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// DigestSize is the length of a Digest in bytes.
const DigestSize = sha256.Size

// Digest is the SHA-256 of an object's canonical bytes. The zero Digest names nothing.
type Digest [DigestSize]byte

// Sum gives the digest of p.
func Sum(p []byte) Digest { return sha256.Sum256(p) }

// IsZero reports whether d names nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// String gives 64 lower case hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// ParseDigest reads what String gives, and nothing else.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != 2*DigestSize {
		return Digest{}, fmt.Errorf("digest %q: want %d hexadecimal digits", s, 2*DigestSize)
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return Digest{}, fmt.Errorf("digest %q: want lower case hexadecimal digits", s)
		}
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, fmt.Errorf("digest %q: %w", s, err)
	}
	return d, nil
}

// Kind says how the bytes of an object are to be read. The same bytes under two
// kinds are two objects.
type Kind uint8

const (
	// KindContent is a file's bytes, or a chunk of them.
	KindContent Kind = 1
	// KindList names the chunks of a large file.
	KindList Kind = 2
	// KindTree is a directory, or a part of a large one.
	KindTree Kind = 3
)

func (k Kind) String() string {
	switch k {
	case KindContent:
		return "content"
	case KindList:
		return "list"
	case KindTree:
		return "tree"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Key names an object.
type Key struct {
	Kind   Kind
	Digest Digest
}

func (k Key) String() string { return k.Kind.String() + " " + k.Digest.String() }
