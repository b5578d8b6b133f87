package store

// bits is a set of small numbers that grows as needed.
type bits []uint64

func (b bits) has(i uint32) bool {
	return int(i/64) < len(b) && b[i/64]&(1<<(i%64)) != 0
}

// set adds i, and reports whether it was not there.
func (b *bits) set(i uint32) bool {
	for int(i/64) >= len(*b) {
		*b = append(*b, 0)
	}
	word := &(*b)[i/64]
	added := *word&(1<<(i%64)) == 0
	*word |= 1 << (i % 64)
	return added
}

// packBits is a set of objects, by the pack they are in.
type packBits map[uint32]*bits

func (p packBits) has(at place) bool {
	b := p[at.pack]
	return b != nil && b.has(at.object)
}

func (p packBits) set(at place) bool {
	b := p[at.pack]
	if b == nil {
		b = new(bits)
		p[at.pack] = b
	}
	return b.set(at.object)
}
