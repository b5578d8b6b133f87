//go:build linux

package usage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// file is a file of the kernel that is read again and again through one
// descriptor, which costs no walk of its path.
type file struct {
	*os.File
	descriptor int // File's, which every call of its Fd would make blocking again
	data       []byte
}

func openFile(path string) (*file, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &file{File: f, descriptor: int(f.Fd()), data: make([]byte, 2048)}, nil
}

// read gives what the file says now. The bytes are good until the next read.
func (f *file) read() ([]byte, error) {
	// The kernel gives all it has of such a file until its own buffer, of a page
	// at least, has no room for another line. A shorter answer is the whole.
	const certain = 3 << 10
	n := 0
	for {
		m, err := syscall.Pread(f.descriptor, f.data[n:], int64(n))
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		n += m
		if m == 0 || (n < len(f.data) && n < certain) {
			return f.data[:n], nil
		}
		if n == len(f.data) {
			f.data = append(f.data, make([]byte, len(f.data))...)
		}
	}
}

var errFields = errors.New("not the number of fields expected")

// lines calls each with the first word of every line and what follows it. Lines
// without a word are passed over.
func lines(data []byte, each func(key, rest []byte) error) error {
	for line := range bytes.Lines(data) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		key, rest, _ := bytes.Cut(line, []byte(" "))
		if err := each(key, rest); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
	}
	return nil
}

// flatKeyed reads a file of lines "KEY VALUE", which
// Documentation/admin-guide/cgroup-v2.rst calls flat keyed, into the counter that
// target gives for the key. Keys for which it gives nil are passed over.
func flatKeyed(data []byte, target func(key []byte) **uint64) error {
	return lines(data, func(key, rest []byte) error {
		to := target(key)
		if to == nil {
			return nil
		}
		value, err := parseNumber(rest)
		if err != nil {
			return err
		}
		*to = &value
		return nil
	})
}

// parseNumber reads a whole number that is not negative.
func parseNumber(field []byte) (uint64, error) {
	return strconv.ParseUint(string(bytes.TrimSpace(field)), 10, 64)
}

// parseSingle reads a file that is one number.
func parseSingle(data []byte) (*uint64, error) {
	value, err := parseNumber(data)
	if err != nil {
		return nil, err
	}
	return &value, nil
}

// parseLimit reads a file that is one number, or "max" for no limit (v2); v1 says
// so by a number of pages that no machine has.
func parseLimit(data []byte) (*uint64, error) {
	if string(bytes.TrimSpace(data)) == "max" {
		return nil, nil
	}
	value, err := parseNumber(data)
	if err != nil {
		return nil, err
	}
	const unbounded = 1 << 62
	if value >= unbounded {
		return nil, nil
	}
	return &value, nil
}

// add adds to a counter that may not have begun.
func add(counter **uint64, value uint64) {
	if *counter == nil {
		*counter = new(uint64)
	}
	**counter += value
}

// scale multiplies a counter that may be absent.
func scale(counter *uint64, by uint64) {
	if counter != nil {
		*counter *= by
	}
}
