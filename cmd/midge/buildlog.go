package main

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"midge/api"
	"midge/execute"
	"midge/terminal"
)

// buildLog shows a build to a person: the task's output on stdout and stderr as the
// task wrote it, and what happens around it on stderr.
type buildLog struct {
	program    *program
	timestamps bool
	silent     bool // the task's output is not shown

	midLine  [2]bool // stdout's and stderr's last line has not ended yet
	returned [2]bool // a carriage return was the last of it, and is not shown yet
}

// happened shows one event of the build.
func (l *buildLog) happened(h execute.Happened) {
	switch data := h.Data.(type) {
	case api.LogEvent:
		l.output(data)
	case api.InitializeTaskEvent:
		l.say(data.Time, bold, "initializing", "")
	case api.SelectedWorkerEvent:
		l.say(data.Time, bold, "selected worker:", data.Worker)
	case api.StartTaskEvent:
		l.say(data.Time, bold, "running", commandLine(data.Config.Run))
	case api.WaitingEvent:
		l.say(data.Time, bold, "waiting:", data.Reason)
	case api.ErrorEvent:
		l.tell(0, red, strings.TrimSpace(data.Message), "")
	case api.CauseEvent:
		// Other causes are in the task's output.
		if data.Code == api.CauseTimeout || data.Code == api.CauseAborted {
			l.tell(data.Time, red, data.Message, "")
		}
	case api.StatusEvent:
		if data.Status.Finished() {
			l.say(data.Time, statusStyle(data.Status), string(data.Status), "")
		}
	}
}

// maxCommandLine bounds what is shown of a task's command, in bytes.
const maxCommandLine = 120

// commandLine shows a command on one line.
func commandLine(run api.EventTaskRun) string {
	first, _, more := strings.Cut(strings.TrimSpace(strings.Join(append([]string{run.Path}, run.Args...), " ")), "\n")
	if len(first) > maxCommandLine {
		first, more = strings.ToValidUTF8(first[:maxCommandLine], ""), true
	}
	if more {
		first += " ..."
	}
	return first
}

// output passes on a piece of the task's output.
func (l *buildLog) output(data api.LogEvent) {
	to, stream := l.program.stdout, 0
	if data.Origin.Source == api.SourceStderr {
		to, stream = l.program.progress(), 1
	}
	output := data.Output()
	if to.terminal {
		output = l.withoutReturns(output, stream)
	}
	if len(output) == 0 || l.silent {
		return
	}
	begins := !l.midLine[stream]
	l.midLine[stream] = output[len(output)-1] != '\n'
	if l.timestamps {
		output = stampLines(output, timestamp(data.Time), begins)
	}
	to.Write(output)
}

// withoutReturns leaves out the carriage returns that the task's terminal has put before
// line feeds: the person's puts them there as well. One at the end waits for what follows.
func (l *buildLog) withoutReturns(output []byte, stream int) []byte {
	if len(output) == 0 {
		return nil
	}
	if l.returned[stream] {
		output = append([]byte{'\r'}, output...)
	}
	output, l.returned[stream] = bytes.CutSuffix(output, []byte{'\r'})
	return bytes.ReplaceAll(output, []byte("\r\n"), []byte("\n"))
}

// say tells the person something on a line of its own, its first words in a style.
func (l *buildLog) say(at int64, style style, words, rest string) {
	if !l.program.flags.quiet {
		l.tell(at, style, words, rest)
	}
}

// tell does the same, of an error, with --quiet too.
func (l *buildLog) tell(at int64, style style, words, rest string) {
	p := l.program
	to := p.progress()
	if l.midLine[1] || l.midLine[0] && (to == p.stdout || p.stdout.terminal) {
		fmt.Fprintln(to)
		l.midLine = [2]bool{}
	}
	line := to.paint(style, terminal.Text(words))
	if rest != "" {
		line += " " + terminal.Line(rest)
	}
	if l.timestamps {
		line = timestamp(at) + line
	}
	fmt.Fprintln(to, line)
}

// timestamp is what fly puts before a line: the local time, or room for it.
func timestamp(at int64) string {
	if at == 0 {
		return "          "
	}
	return time.Unix(at, 0).Format(time.TimeOnly) + "  "
}

// stampLines puts stamp before each line of output that begins in it.
func stampLines(output []byte, stamp string, begins bool) []byte {
	var stamped bytes.Buffer
	for line := range bytes.Lines(output) {
		if begins {
			stamped.WriteString(stamp)
		}
		stamped.Write(line)
		begins = true
	}
	return stamped.Bytes()
}

// statusStyle is the colour of a build's status.
func statusStyle(status api.BuildStatus) style {
	switch status {
	case api.StatusSucceeded:
		return green
	case api.StatusFailed, api.StatusErrored:
		return red
	case api.StatusAborted, api.StatusStarted:
		return yellow
	}
	return ""
}
