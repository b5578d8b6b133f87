package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
)

// test is the command test, and [.
func test(c *call) int {
	args := c.args[1:]
	if c.args[0] == "[" {
		if len(args) == 0 || args[len(args)-1] != "]" {
			return c.fail(2, "missing ]")
		}
		args = args[:len(args)-1]
	}
	if len(args) == 0 {
		return 1
	}
	t := &condition{program: c.program, args: args}
	result, err := t.or()
	if err == nil && len(t.args) > 0 {
		err = fmt.Errorf("%s: unexpected operator", t.args[0])
	}
	if err != nil {
		return c.fail(2, "%v", err)
	}
	return truth(result)
}

// condition reads an expression of test, and gives whether it is true.
type condition struct {
	program *program
	args    []string
}

func (t *condition) next() (string, bool) {
	if len(t.args) == 0 {
		return "", false
	}
	arg := t.args[0]
	t.args = t.args[1:]
	return arg, true
}

func (t *condition) or() (bool, error) {
	left, err := t.and()
	for err == nil && len(t.args) > 0 && t.args[0] == "-o" {
		t.next()
		var right bool
		right, err = t.and()
		left = left || right
	}
	return left, err
}

func (t *condition) and() (bool, error) {
	left, err := t.not()
	for err == nil && len(t.args) > 0 && t.args[0] == "-a" {
		t.next()
		var right bool
		right, err = t.not()
		left = left && right
	}
	return left, err
}

func (t *condition) not() (bool, error) {
	if len(t.args) > 1 && t.args[0] == "!" {
		t.next()
		result, err := t.not()
		return !result, err
	}
	return t.primary()
}

func (t *condition) primary() (bool, error) {
	first, ok := t.next()
	if !ok {
		return false, errors.New("argument expected")
	}
	if len(t.args) >= 2 {
		if compare, ok := comparisons[t.args[0]]; ok {
			t.next()
			second, _ := t.next()
			return compare(first, second)
		}
	}
	if first == "(" {
		result, err := t.or()
		if closing, _ := t.next(); err == nil && closing != ")" {
			err = errors.New("closing parenthesis expected")
		}
		return result, err
	}
	if len(first) == 2 && first[0] == '-' && len(t.args) > 0 {
		operand, _ := t.next()
		return t.unary(first, operand)
	}
	return first != "", nil
}

func (t *condition) unary(operator, operand string) (bool, error) {
	switch operator {
	case "-n":
		return operand != "", nil
	case "-z":
		return operand == "", nil
	case "-t":
		number, err := strconv.Atoi(operand)
		if err != nil {
			return false, fmt.Errorf("%s: bad number", operand)
		}
		held, ok := t.program.descriptors[number]
		if !ok {
			return false, nil
		}
		_, ok = held.stream.(*terminal)
		return ok, nil
	case "-h", "-L":
		info, err := t.program.machine.files.Lstat(t.program.path(operand))
		return err == nil && info.Mode().Type() == fs.ModeSymlink, nil
	}
	info, err := t.program.machine.files.Stat(t.program.path(operand))
	if err != nil || operand == "" {
		return false, nil
	}
	switch operator {
	case "-e", "-r", "-w":
		return true, nil
	case "-f":
		return info.Mode().IsRegular(), nil
	case "-d":
		return info.IsDir(), nil
	case "-s":
		return info.Size() > 0, nil
	case "-x":
		return info.Mode()&0o111 != 0, nil
	case "-c":
		return info.Mode()&fs.ModeCharDevice != 0, nil
	case "-b", "-p", "-S", "-u", "-g", "-k":
		return false, nil
	}
	return false, fmt.Errorf("%s: unknown operand", operator)
}

var comparisons = map[string]func(a, b string) (bool, error){
	"=":   func(a, b string) (bool, error) { return a == b, nil },
	"==":  func(a, b string) (bool, error) { return a == b, nil },
	"!=":  func(a, b string) (bool, error) { return a != b, nil },
	"-eq": numeric(func(a, b int) bool { return a == b }),
	"-ne": numeric(func(a, b int) bool { return a != b }),
	"-lt": numeric(func(a, b int) bool { return a < b }),
	"-le": numeric(func(a, b int) bool { return a <= b }),
	"-gt": numeric(func(a, b int) bool { return a > b }),
	"-ge": numeric(func(a, b int) bool { return a >= b }),
}

func numeric(compare func(a, b int) bool) func(a, b string) (bool, error) {
	return func(a, b string) (bool, error) {
		x, err := strconv.Atoi(a)
		if err != nil {
			return false, fmt.Errorf("%s: bad number", a)
		}
		y, err := strconv.Atoi(b)
		if err != nil {
			return false, fmt.Errorf("%s: bad number", b)
		}
		return compare(x, y), nil
	}
}
