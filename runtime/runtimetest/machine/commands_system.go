package machine

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

func sleep(c *call) int {
	var total time.Duration
	for _, arg := range c.args[1:] {
		unit := time.Second
		switch {
		case strings.HasSuffix(arg, "m"):
			unit = time.Minute
		case strings.HasSuffix(arg, "h"):
			unit = time.Hour
		case arg == "infinity":
			arg, unit = "1000000", time.Hour
		}
		n, err := strconv.ParseFloat(strings.TrimRight(arg, "smh"), 64)
		if err != nil || n < 0 {
			return c.fail(1, "invalid number '%s'", arg)
		}
		total += time.Duration(n * float64(unit))
	}
	return truth(pause(c.program.ctx, total) == nil)
}

// env is env [-i] [-0] [NAME=VALUE ...] [command [arg ...]].
func env(c *call) int {
	options, args := c.options("")
	variables, end := slices.Clone(c.env), "\n"
	if has(options, 'i') {
		variables = nil
	}
	if has(options, '0') {
		end = "\x00"
	}
	for len(args) > 0 && strings.Contains(args[0], "=") {
		variables, args = append(variables, args[0]), args[1:]
	}
	variables = Environment(variables)
	if len(args) == 0 {
		for _, variable := range variables {
			if err := c.print("%s%s", variable, end); err != nil {
				return c.written(err)
			}
		}
		return 0
	}
	file, err := c.program.lookPath(args[0], lookup(variables, "PATH"))
	var image executable
	if err == nil {
		image, err = c.program.machine.executable(file)
	}
	if isNotExist(err) {
		return c.fail(127, "can't execute '%s': No such file or directory", args[0])
	}
	if err != nil {
		return c.fail(126, "can't execute '%s': %s", args[0], describeError(err))
	}
	c.program.exec(image, args, variables)
	return 0
}

// Environment gives an environment in which of each name the last value is left,
// at the place of the first.
func Environment(variables []string) []string {
	var made []string
	for _, variable := range variables {
		name, _, _ := strings.Cut(variable, "=")
		at := slices.IndexFunc(made, func(other string) bool { return strings.HasPrefix(other, name+"=") })
		if at >= 0 {
			made[at] = variable
		} else {
			made = append(made, variable)
		}
	}
	return made
}

func lookup(variables []string, name string) string {
	for _, variable := range slices.Backward(variables) {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}

func printEnv(c *call) int {
	if len(c.args) < 2 {
		return env(&call{program: c.program, args: []string{"env"}, env: c.env})
	}
	for _, variable := range c.env {
		if value, ok := strings.CutPrefix(variable, c.args[1]+"="); ok {
			return c.written(c.print("%s\n", value))
		}
	}
	return 1
}

func id(c *call) int {
	options, _ := c.options("")
	user := c.program.user
	name := user.Name
	if name == "" {
		name = strconv.Itoa(user.UID)
	}
	switch {
	case has(options, 'u') && has(options, 'n'):
		c.print("%s\n", name)
	case has(options, 'u'):
		c.print("%d\n", user.UID)
	case has(options, 'g'):
		c.print("%d\n", user.GID)
	default:
		c.print("uid=%d(%s) gid=%d(%s)\n", user.UID, name, user.GID, name)
	}
	return 0
}

func whoami(c *call) int {
	if c.program.user.Name == "" {
		return c.fail(1, "unknown uid %d", c.program.user.UID)
	}
	return c.written(c.print("%s\n", c.program.user.Name))
}

func hostname(c *call) int { return c.written(c.print("%s\n", c.program.machine.hostname)) }

func uname(c *call) int {
	options, _ := c.options("")
	switch {
	case has(options, 'n'):
		return hostname(c)
	case has(options, 'm'):
		return c.written(c.print("x86_64\n"))
	}
	return c.written(c.print("Linux\n"))
}

func date(c *call) int {
	now := time.Now()
	if len(c.args) > 1 && c.args[1] == "+%s" {
		return c.written(c.print("%d\n", now.Unix()))
	}
	return c.written(c.print("%s\n", now.UTC().Format(time.UnixDate)))
}

func tty(c *call) int {
	if held, ok := c.program.descriptors[0]; ok {
		if _, ok := held.stream.(*terminal); ok {
			return c.written(c.print("/dev/pts/0\n"))
		}
	}
	c.print("not a tty\n")
	return 1
}

// stty shows and sets the modes of the terminal at stdin.
func stty(c *call) int {
	held, ok := c.program.descriptors[0]
	var term *terminal
	if ok {
		term, ok = held.stream.(*terminal)
	}
	if !ok {
		return c.fail(1, "standard input: Not a tty")
	}
	if len(c.args) == 1 {
		size := term.windowSize()
		return c.written(c.print("speed 38400 baud; rows %d; columns %d;\n", size.Rows, size.Columns))
	}
	for _, arg := range c.args[1:] {
		if arg == "size" {
			size := term.windowSize()
			c.print("%d %d\n", size.Rows, size.Columns)
			continue
		}
		set, ok := terminalSettings[arg]
		if !ok {
			return c.fail(1, "invalid argument '%s'", arg)
		}
		term.setModes(set)
	}
	return 0
}

var terminalSettings = map[string]func(*terminalModes){
	"sane":    func(m *terminalModes) { *m = saneModes },
	"raw":     func(m *terminalModes) { m.canonical, m.signals, m.newlines = false, false, false },
	"-raw":    func(m *terminalModes) { m.canonical, m.signals, m.newlines = true, true, true },
	"echo":    func(m *terminalModes) { m.echo = true },
	"-echo":   func(m *terminalModes) { m.echo = false },
	"icanon":  func(m *terminalModes) { m.canonical = true },
	"-icanon": func(m *terminalModes) { m.canonical = false },
	"isig":    func(m *terminalModes) { m.signals = true },
	"-isig":   func(m *terminalModes) { m.signals = false },
	"opost":   func(m *terminalModes) { m.newlines = true },
	"-opost":  func(m *terminalModes) { m.newlines = false },
}
