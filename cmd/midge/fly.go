package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/terminal"
)

// A link named fly to midge is for scripts that were written for fly. The commands, their
// flags, tables and exit statuses are the same by either name; what differs is in this
// file and where flyNamed is asked.

// flyName is the name of that link.
const flyName = "fly"

// programName gives the name by which the program was started, midge or fly.
func programName(path string) string {
	if strings.TrimSuffix(filepath.Base(path), ".exe") == flyName {
		return flyName
	}
	return "midge"
}

// flyNamed reports whether the program was started as fly.
func (p *program) flyNamed() bool { return p.name == flyName }

// typed gives a text for people, in which the commands to type begin with the name by which
// the program was started, and ask the server that was named on its command line.
func (p *program) typed(text string) string {
	if !p.flyNamed() && p.flags.target == "" {
		return text
	}
	var b strings.Builder
	end := 0
	for _, at := range commandToType().FindAllStringSubmatchIndex(text, -1) {
		target, name, help := text[at[2]:at[3]], text[at[4]:at[5]], text[at[6]:at[7]]
		command, _, err := p.root.Find([]string{name})
		if err != nil || command == p.root {
			continue
		}
		// What begins with a command says something of it.
		if at[0] > 0 && target == "" && help == "" && p.flags.target != "" && command.GroupID != groupTargets {
			target = "-t " + terminal.ShellWord(p.flags.target) + " "
		}
		b.WriteString(text[end:at[0]] + p.name + " " + target + name + help)
		end = at[1]
	}
	return b.String() + text[end:]
}

// commandToType matches what may be a command to type, and has as parts the target in it, the
// command's name, and that its help is what is to be asked for.
var commandToType = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\bmidge ((?:-t \S+ )?)([a-z]+(?:-[a-z]+)*)((?:(?: [a-z]+)? --help)?)`)
})

// progress is where the course of a build is told. That of fly's scripts is in stdout,
// and the task's stderr with it.
func (p *program) progress() *stream {
	if p.flyNamed() {
		return p.stdout
	}
	return p.stderr
}

// errorPrefix begins each line that says why the program failed.
func (p *program) errorPrefix() string {
	if p.flyNamed() {
		return "error: "
	}
	return "midge: "
}

// tellVersion prints the version: midge's own, or that of the fly which it stands for, as
// scripts compare it with their server's.
func (p *program) tellVersion() error {
	text := "midge " + api.Version
	if p.flyNamed() {
		text = api.ConcourseVersion
	}
	_, err := fmt.Fprintln(p.stdout, text)
	return err
}

// newSyncCommand gives the command by which fly fetches the version of its server.
func newSyncCommand(p *program) *cobra.Command {
	command := &cobra.Command{
		Use:     "sync",
		Aliases: []string{"s"},
		GroupID: groupTargets,
		Short:   "Do nothing: this fly is midge, which works with any version of a server",
		RunE: func(command *cobra.Command, args []string) error {
			p.report("this fly is midge %s, which works with any version of a server", api.Version)
			return nil
		},
	}
	command.Flags().BoolP("force", "f", false, "do nothing all the same")
	return command
}

// pipelineCommands are those of fly that midge has no use for, and their aliases.
var pipelineCommands = []string{
	"jobs", "js", "pause-job", "pj", "unpause-job", "uj", "schedule-job", "sj", "trigger-job", "tj", "rerun-build", "rb",
	"pipelines", "ps", "set-pipeline", "sp", "get-pipeline", "gp", "destroy-pipeline", "dp", "pause-pipeline", "pp",
	"unpause-pipeline", "up", "archive-pipeline", "ap", "expose-pipeline", "ep", "hide-pipeline", "hp",
	"rename-pipeline", "rp", "validate-pipeline", "vp", "format-pipeline", "fp", "order-pipelines", "op",
	"order-instanced-pipelines", "oip", "checklist", "cl", "resources", "rs", "resource-versions", "rvs",
	"check-resource", "cr", "check-resource-type", "crt", "pin-resource", "pr", "unpin-resource", "ur",
	"enable-resource-version", "erv", "disable-resource-version", "drv", "clear-resource-cache", "crc", "clear-versions", "cv",
}

// isOfPipelines reports whether a command is one of fly's that are about pipelines.
func isOfPipelines(name string) bool { return slices.Contains(pipelineCommands, name) }

// teamCommands are those of fly that make and change teams, and their aliases.
var teamCommands = []string{"set-team", "st", "get-team", "gt", "destroy-team", "dt", "rename-team", "rt"}
