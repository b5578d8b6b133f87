package artifacts

import "encoding/binary"

// decoder takes bytes apart from the front. Once something was not there it has
// failed, and gives zeros.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) take(n int) []byte {
	if d.failed || n < 0 || n > len(d.rest) {
		d.failed = true
		return nil
	}
	taken := d.rest[:n]
	d.rest = d.rest[n:]
	return taken
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

// uvarint reads a number in its shortest encoding; another would give the same
// object two digests.
func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if d.failed || n <= 0 || (n > 1 && d.rest[n-1] == 0) {
		d.failed = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// length reads a number that counts something in the rest.
func (d *decoder) length() int {
	v := d.uvarint()
	if v > uint64(len(d.rest)) {
		d.failed = true
		return 0
	}
	return int(v)
}

func (d *decoder) size() int64 {
	v := d.uvarint()
	if v > maxTotals {
		d.failed = true
		return 0
	}
	return int64(v)
}

func (d *decoder) mode() uint16 {
	v := d.uvarint()
	if v > ModeMask {
		d.failed = true
		return 0
	}
	return uint16(v)
}

func (d *decoder) string() string { return string(d.take(d.length())) }

func (d *decoder) digest() Digest {
	var digest Digest
	copy(digest[:], d.take(DigestSize))
	return digest
}
