package artifacts

import "encoding/binary"

const listVersion = 1

// Chunk is a piece of a large file.
type Chunk struct {
	Digest Digest
	Size   int32 // 1 to MaxContent
}

// EncodeList gives the list object of a file with these chunks.
func EncodeList(chunks []Chunk) []byte {
	b := make([]byte, 0, 8+len(chunks)*(DigestSize+4))
	b = append(b, listVersion)
	b = binary.AppendUvarint(b, uint64(len(chunks)))
	for _, c := range chunks {
		b = append(b, c.Digest[:]...)
		b = binary.AppendUvarint(b, uint64(c.Size))
	}
	return b
}

// DecodeList reads a list object. Its chunks together have more than MaxContent bytes.
func DecodeList(p []byte) ([]Chunk, error) {
	d := decoder{rest: p}
	if version := d.byte(); version != listVersion {
		return nil, badFormat("list", "version %d is not known", version)
	}
	count := d.length()
	if d.failed || count > len(d.rest)/(DigestSize+1) {
		return nil, badFormat("list", "it is cut")
	}
	chunks := make([]Chunk, count)
	var total int64
	for i := range chunks {
		chunks[i].Digest = d.digest()
		size := d.size()
		if d.failed || size < 1 || size > MaxContent {
			return nil, badFormat("list", "chunk %d is cut or has an impossible size", i)
		}
		chunks[i].Size = int32(size)
		total += size
	}
	if len(d.rest) > 0 || total <= MaxContent {
		return nil, badFormat("list", "it has more behind its end, or is of a small file")
	}
	return chunks, nil
}

// ListSize gives the length of the file that the chunks make.
func ListSize(chunks []Chunk) int64 {
	var total int64
	for _, c := range chunks {
		total += int64(c.Size)
	}
	return total
}
