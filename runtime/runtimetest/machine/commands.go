package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"mvdan.cc/sh/v3/expand"
)

// commands are the programs of the machine, by the names of their files.
var commands map[string]func(*call) int

func init() {
	commands = map[string]func(*call) int{
		"sh": runShell,

		"true": func(*call) int { return 0 }, "false": func(*call) int { return 1 },
		"test": test, "[": test, "echo": echo, "printf": printf, "sleep": sleep, "env": env, "printenv": printEnv,
		"kill": killPrograms, "id": id, "whoami": whoami, "hostname": hostname, "uname": uname, "tty": tty, "stty": stty,
		"date": date, "nproc": func(c *call) int { c.print("1\n"); return 0 },

		"pwd": printDirectory, "ls": list, "mkdir": makeDirectory, "rmdir": removeDirectory, "rm": remove, "cp": copyFiles,
		"mv": move, "ln": link, "touch": touch, "chmod": chmod, "readlink": readLink, "stat": stat, "basename": basename,
		"dirname": dirname, "find": find,

		"cat": concatenate, "tee": tee, "head": head, "tail": tail, "wc": count, "seq": sequence, "yes": yes,
		"grep": grep, "sort": sortLines, "tr": translate, "cmp": compare, "sha256sum": checksum,
	}
}

// call is a command's invocation.
type call struct {
	program *program
	args    []string // the first is the command's name
	env     []string
}

func (c *call) in() io.Reader  { return c.program.reader(0) }
func (c *call) out() io.Writer { return c.program.writer(1) }

func (c *call) print(format string, args ...any) error {
	_, err := fmt.Fprintf(c.out(), format, args...)
	return err
}

// fail says what went wrong and gives the status.
func (c *call) fail(status int, format string, args ...any) int {
	fmt.Fprintf(c.program.writer(2), "%s: %s\n", path.Base(c.args[0]), fmt.Sprintf(format, args...))
	return status
}

// failed says that something cannot be done to a file.
func (c *call) failed(name string, err error) int {
	return c.fail(1, "%s: %s", name, describeError(err))
}

// describeError gives an error as C's library words it.
func describeError(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return cause(err).Error()
	}
	text := errno.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// options takes the one-letter options that come first; of those in valued the
// argument is their value.
func (c *call) options(valued string) (map[byte]string, []string) {
	found := map[byte]string{}
	args := c.args[1:]
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		letters := args[0][1:]
		args = args[1:]
		if letters == "-" {
			break
		}
		for i := 0; i < len(letters); i++ {
			if !strings.ContainsRune(valued, rune(letters[i])) {
				found[letters[i]] = ""
				continue
			}
			value := letters[i+1:]
			if value == "" && len(args) > 0 {
				value, args = args[0], args[1:]
			}
			found[letters[i]] = value
			break
		}
	}
	return found, args
}

func has(options map[byte]string, letter byte) bool {
	_, ok := options[letter]
	return ok
}

func (c *call) files() *FileSystem { return c.program.machine.files }

// input opens a file to be read, or gives stdin for "-".
func (c *call) input(name string) (io.Reader, func(), error) {
	if name == "-" {
		return c.in(), func() {}, nil
	}
	opened, err := c.program.open(name, 0)
	if err != nil {
		return nil, nil, err
	}
	return descriptorReader{c.program, opened}, opened.release, nil
}

type descriptorReader struct {
	program *program
	held    *descriptor
}

func (r descriptorReader) Read(p []byte) (int, error) { return r.held.read(r.program.ctx, p) }

// each runs over the inputs named, stdin when none is.
func (c *call) each(names []string, do func(name string, r io.Reader) error) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	status := 0
	for _, name := range names {
		r, release, err := c.input(name)
		if err == nil {
			err = do(name, r)
			release()
		}
		if err != nil {
			status = c.failed(name, err)
		}
	}
	return status
}

func echo(c *call) int {
	args, newline, escapes := c.args[1:], "\n", false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && strings.Trim(args[0][1:], "neE") == "" {
		if strings.Contains(args[0], "n") {
			newline = ""
		}
		escapes = strings.Contains(args[0], "e")
		args = args[1:]
	}
	text := strings.Join(args, " ")
	if escapes {
		expanded, _, err := expand.Format(&expand.Config{}, strings.ReplaceAll(text, "%", "%%"), nil)
		if err != nil {
			return c.fail(1, "%v", err)
		}
		text = expanded
	}
	_, err := io.WriteString(c.out(), text+newline)
	return c.written(err)
}

// written gives the status of a command whose last write gave err.
func (c *call) written(err error) int {
	if err != nil {
		return c.fail(1, "write error: %s", describeError(err))
	}
	return 0
}

func printf(c *call) int {
	if len(c.args) < 2 {
		return c.fail(2, "usage: printf format [arg ...]")
	}
	args := c.args[2:]
	for {
		text, used, err := expand.Format(&expand.Config{}, c.args[1], args)
		if err != nil {
			return c.fail(1, "%v", err)
		}
		if _, err := io.WriteString(c.out(), text); err != nil {
			return c.written(err)
		}
		args = args[min(used, len(args)):]
		if used == 0 || len(args) == 0 {
			return 0
		}
	}
}

func printDirectory(c *call) int { return c.written(c.print("%s\n", c.program.dir)) }

// buffered runs with an output that is written in large pieces.
func (c *call) buffered(run func(w *bufio.Writer) error) int {
	w := bufio.NewWriterSize(c.out(), 32<<10)
	err := run(w)
	if err == nil {
		err = w.Flush()
	}
	return c.written(err)
}

// resolve gives the file that a name leads to, in a directory when that is one.
func (c *call) resolve(target, source string) string {
	target = c.program.path(target)
	if info, err := c.files().Stat(target); err == nil && info.IsDir() {
		return path.Join(target, path.Base(source))
	}
	return target
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
