package machine

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

func concatenate(c *call) int {
	_, names := c.options("")
	return c.each(names, func(_ string, r io.Reader) error {
		_, err := io.CopyBuffer(plainWriter{c.out()}, plainReader{r}, make([]byte, 32<<10))
		return err
	})
}

// plainReader and plainWriter hide all methods but one, so that copying uses its buffer.
type plainReader struct{ io.Reader }
type plainWriter struct{ io.Writer }

func tee(c *call) int {
	options, names := c.options("")
	flags := writing | creating | truncating
	if has(options, 'a') {
		flags = writing | creating | appending
	}
	outputs := []io.Writer{c.out()}
	for i, name := range names {
		opened, err := c.program.open(name, flags)
		if err != nil {
			return c.failed(name, err)
		}
		number := 100 + i
		c.program.set(number, opened)
		outputs = append(outputs, c.program.writer(number))
	}
	_, err := io.Copy(io.MultiWriter(outputs...), c.in())
	return c.written(err)
}

// size reads a number with the suffixes of head and tail.
func size(text string) (int64, error) {
	unit := int64(1)
	switch {
	case strings.HasSuffix(text, "k"), strings.HasSuffix(text, "K"):
		unit = 1 << 10
	case strings.HasSuffix(text, "m"), strings.HasSuffix(text, "M"):
		unit = 1 << 20
	}
	n, err := strconv.ParseInt(strings.TrimRight(text, "kKmM"), 10, 64)
	return n * unit, err
}

// amount gives what head and tail are asked for: bytes, or else lines.
func (c *call) amount() (n int64, isBytes bool, names []string, err error) {
	if len(c.args) > 1 && len(c.args[1]) > 1 && c.args[1][0] == '-' && c.args[1][1] >= '0' && c.args[1][1] <= '9' {
		n, err = size(c.args[1][1:])
		return n, false, c.args[2:], err
	}
	options, names := c.options("nc")
	if bytes, ok := options['c']; ok {
		n, err = size(bytes)
		return n, true, names, err
	}
	if lines, ok := options['n']; ok {
		n, err = size(lines)
		return n, false, names, err
	}
	return 10, false, names, nil
}

func head(c *call) int {
	n, isBytes, names, err := c.amount()
	if err != nil {
		return c.fail(1, "%v", err)
	}
	return c.each(names, func(_ string, r io.Reader) error {
		if isBytes {
			_, err := io.CopyBuffer(plainWriter{c.out()}, plainReader{io.LimitReader(r, n)}, make([]byte, 32<<10))
			return err
		}
		lines := bufio.NewReader(r)
		for range n {
			line, err := lines.ReadBytes('\n')
			if _, err := c.out().Write(line); err != nil {
				return err
			}
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func tail(c *call) int {
	n, isBytes, names, err := c.amount()
	if err != nil {
		return c.fail(1, "%v", err)
	}
	return c.each(names, func(_ string, r io.Reader) error {
		all, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		start := max(0, int64(len(all))-n)
		if !isBytes {
			lines := bytes.SplitAfter(all, []byte("\n"))
			if len(lines[len(lines)-1]) == 0 {
				lines = lines[:len(lines)-1]
			}
			start = int64(len(all) - len(bytes.Join(lines[max(0, len(lines)-int(n)):], nil)))
		}
		_, err = c.out().Write(all[start:])
		return err
	})
}

func count(c *call) int {
	options, names := c.options("")
	return c.each(names, func(name string, r io.Reader) error {
		counter := &textCounter{}
		if _, err := io.Copy(counter, r); err != nil {
			return err
		}
		var shown []string
		for _, column := range []struct {
			letter byte
			n      int
		}{{'l', counter.lines}, {'w', counter.words}, {'c', counter.bytes}, {'m', counter.runes}} {
			if has(options, column.letter) || len(options) == 0 && column.letter != 'm' {
				shown = append(shown, strconv.Itoa(column.n))
			}
		}
		if name != "-" {
			shown = append(shown, name)
		}
		return c.print("%s\n", strings.Join(shown, " "))
	})
}

type textCounter struct {
	lines, words, bytes, runes int
	inWord                     bool
}

func (t *textCounter) Write(p []byte) (int, error) {
	for _, b := range p {
		if b == '\n' {
			t.lines++
		}
		space := b == ' ' || b >= '\t' && b <= '\r'
		if !space && !t.inWord {
			t.words++
		}
		t.inWord = !space
		if utf8.RuneStart(b) {
			t.runes++
		}
	}
	t.bytes += len(p)
	return len(p), nil
}

func sequence(c *call) int {
	numbers := []int{1, 1, 1}
	args := c.args[1:]
	for i, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil || len(args) > 3 {
			return c.fail(1, "invalid number '%s'", arg)
		}
		args[i] = strconv.Itoa(n)
		numbers[min(i, 2)] = n
	}
	first, step, last := 1, 1, 0
	switch len(args) {
	case 1:
		last = numbers[0]
	case 2:
		first, last = numbers[0], numbers[1]
	case 3:
		first, step, last = numbers[0], numbers[1], numbers[2]
	default:
		return c.fail(1, "usage: seq [first [step]] last")
	}
	return c.buffered(func(w *bufio.Writer) error {
		for n := first; step > 0 && n <= last || step < 0 && n >= last; n += step {
			w.Write(strconv.AppendInt(w.AvailableBuffer(), int64(n), 10))
			if err := w.WriteByte('\n'); err != nil {
				return err
			}
		}
		return nil
	})
}

func yes(c *call) int {
	text := "y"
	if len(c.args) > 1 {
		text = strings.Join(c.args[1:], " ")
	}
	block := bytes.Repeat([]byte(text+"\n"), max(1, (16<<10)/(len(text)+1)))
	for {
		if _, err := c.out().Write(block); err != nil {
			return c.written(err)
		}
	}
}

func grep(c *call) int {
	options, rest := c.options("e")
	expression, ok := options['e']
	if !ok {
		if len(rest) == 0 {
			return c.fail(2, "usage: grep pattern [file ...]")
		}
		expression, rest = rest[0], rest[1:]
	}
	if has(options, 'F') {
		expression = regexp.QuoteMeta(expression)
	}
	if has(options, 'i') {
		expression = "(?i)" + expression
	}
	pattern, err := regexp.Compile(expression)
	if err != nil {
		return c.fail(2, "%v", err)
	}
	found := 0
	status := c.each(rest, func(_ string, r io.Reader) error {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			if pattern.MatchString(lines.Text()) == has(options, 'v') {
				continue
			}
			found++
			if !has(options, 'q') && !has(options, 'c') {
				if err := c.print("%s\n", lines.Text()); err != nil {
					return err
				}
			}
		}
		return lines.Err()
	})
	if has(options, 'c') {
		c.print("%d\n", found)
	}
	if status != 0 {
		return 2
	}
	return truth(found > 0)
}

func sortLines(c *call) int {
	options, names := c.options("")
	var lines []string
	status := c.each(names, func(_ string, r io.Reader) error {
		scanner := bufio.NewScanner(r)
		for scanner.Scan() {
			lines = append(lines, scanner.Text())
		}
		return scanner.Err()
	})
	slices.SortStableFunc(lines, func(a, b string) int {
		if has(options, 'n') {
			x, _ := strconv.Atoi(strings.TrimSpace(a))
			y, _ := strconv.Atoi(strings.TrimSpace(b))
			return x - y
		}
		return strings.Compare(a, b)
	})
	if has(options, 'u') {
		lines = slices.Compact(lines)
	}
	if has(options, 'r') {
		slices.Reverse(lines)
	}
	for _, line := range lines {
		c.print("%s\n", line)
	}
	return status
}

// translate is tr with sets of characters and ranges.
func translate(c *call) int {
	options, sets := c.options("")
	if len(sets) == 0 || len(sets) == 1 && !has(options, 'd') {
		return c.fail(1, "usage: tr [-d] set1 [set2]")
	}
	from, to := characters(sets[0]), []byte(nil)
	if len(sets) > 1 {
		to = characters(sets[1])
	}
	var table [256]int
	for b := range table {
		table[b] = b
	}
	for i, b := range from {
		table[b] = -1
		if len(to) > 0 {
			table[b] = int(to[min(i, len(to)-1)])
		}
	}
	block := make([]byte, 32<<10)
	for {
		n, err := c.in().Read(block)
		kept := block[:0]
		for _, b := range block[:n] {
			if table[b] >= 0 {
				kept = append(kept, byte(table[b]))
			}
		}
		if _, err := c.out().Write(kept); err != nil {
			return c.written(err)
		}
		if err == io.EOF {
			return 0
		}
		if err != nil {
			return c.failed("stdin", err)
		}
	}
}

// characters gives the bytes that a set of tr names.
func characters(set string) []byte {
	set = strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\0`, "\x00", `\\`, `\`).Replace(set)
	var found []byte
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			for b := int(set[i]); b <= int(set[i+2]); b++ {
				found = append(found, byte(b))
			}
			i += 2
			continue
		}
		found = append(found, set[i])
	}
	return found
}

func compare(c *call) int {
	_, names := c.options("")
	if len(names) != 2 {
		return c.fail(2, "usage: cmp file1 file2")
	}
	var contents [2][]byte
	for i, name := range names {
		r, release, err := c.input(name)
		if err == nil {
			contents[i], err = io.ReadAll(r)
			release()
		}
		if err != nil {
			c.failed(name, err)
			return 2
		}
	}
	if !bytes.Equal(contents[0], contents[1]) {
		c.print("%s %s differ\n", names[0], names[1])
		return 1
	}
	return 0
}

func checksum(c *call) int {
	_, names := c.options("")
	return c.each(names, func(name string, r io.Reader) error {
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			return err
		}
		return c.print("%s  %s\n", fmt.Sprintf("%x", sum.Sum(nil)), name)
	})
}
