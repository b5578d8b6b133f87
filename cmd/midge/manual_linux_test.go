package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manualDir is where the manual is that is made of the commands' help.
const manualDir = "../../docs"

// TestManualIsFresh compares docs/cli.md and docs/man with the commands' help; with
// -update it writes them.
func TestManualIsFresh(t *testing.T) {
	root := newRootCommand(&program{name: "midge", lookupEnv: func(string) (string, bool) { return "", false }})
	want := map[string]string{"cli.md": markdown(root)}
	for command := range allCommands(root) {
		want["man/"+pageName(command)+".1"] = manPage(command)
	}
	if *update {
		writeManual(t, want)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if written, err := os.ReadFile(filepath.Join(manualDir, name)); err != nil || string(written) != want[name] {
			t.Errorf("docs/%s is stale (%v); write it anew with: make manual", name, err)
		}
	}
	pages, err := fs.Glob(os.DirFS(manualDir), "man/*")
	if err != nil || len(pages) != len(want)-1 {
		t.Errorf("there are %d man pages for %d commands, %v", len(pages), len(want)-1, err)
	}
}

func writeManual(t *testing.T, pages map[string]string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(manualDir, "man")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(manualDir, "man"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(manualDir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// allCommands gives a command and all below it that people see.
func allCommands(command *cobra.Command) func(yield func(*cobra.Command) bool) {
	var all []*cobra.Command
	var add func(*cobra.Command)
	add = func(command *cobra.Command) {
		all = append(all, command)
		for _, below := range command.Commands() {
			if below.IsAvailableCommand() {
				add(below)
			}
		}
	}
	add(command)
	return slices.Values(all)
}

// pageName is that of a command's man page: midge-tokens-create.
func pageName(command *cobra.Command) string {
	return strings.ReplaceAll(command.CommandPath(), " ", "-")
}

// markdown is the whole manual in one page.
func markdown(root *cobra.Command) string {
	var w strings.Builder
	fmt.Fprintf(&w, "# The command midge\n\nThis is `midge help`, of all commands; `make manual` writes it.\n\n%s\n\n```sh\n%s\n```\n",
		strings.Join(description(root), "\n\n"), unindented(root.Example))
	for _, section := range sections(root) {
		fmt.Fprintf(&w, "\n**%s**\n\n| command | |\n| --- | --- |\n", section.title)
		for _, command := range section.commands {
			fmt.Fprintf(&w, "| [%s](#%s) | %s |\n", command.Name(), pageName(command), inTable(command.Short))
		}
	}
	_, global := flagsOf(root)
	fmt.Fprint(&w, "\n## Flags of every command\n\n", flagTable(global))
	for command := range allCommands(root) {
		if command != root {
			markdownCommand(&w, command)
		}
	}
	return w.String()
}

func markdownCommand(w *strings.Builder, command *cobra.Command) {
	level := "##"
	if command.Parent().HasParent() {
		level = "###"
	}
	fmt.Fprintf(w, "\n%s %s\n\n%s\n", level, command.CommandPath(), strings.Join(description(command), "\n\n"))
	fmt.Fprintf(w, "\n```sh\n%s\n```\n", strings.Join(usageLines(command), "\n"))
	if len(command.Aliases) > 0 {
		fmt.Fprintf(w, "\nAliases: `%s`\n", strings.Join(command.Aliases, "`, `"))
	}
	if command.Example != "" {
		fmt.Fprintf(w, "\n```sh\n%s\n```\n", unindented(command.Example))
	}
	if own, _ := flagsOf(command); len(own) > 0 {
		fmt.Fprint(w, "\n", flagTable(own))
	}
}

func flagTable(flags []*pflag.Flag) string {
	var w strings.Builder
	w.WriteString("| flag | meaning |\n| --- | --- |\n")
	for _, flag := range flags {
		fmt.Fprintf(&w, "| `%s` | %s |\n", inTable(flagSyntax(flag)), inTable(flagMeaning(flag)))
	}
	return w.String()
}

// inTable escapes what would end a cell.
func inTable(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// unindented takes two spaces from the beginning of each line.
func unindented(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, "  "), "\n  ", "\n")
}

// manPage is the page of one command for man.
func manPage(command *cobra.Command) string {
	var w strings.Builder
	name := pageName(command)
	fmt.Fprintf(&w, ".TH %s 1 \"\" midge \"midge manual\"\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.nf\n%s\n.fi\n.SH DESCRIPTION\n",
		roff(strings.ToUpper(name)), roff(name), roff(command.Short), roff(strings.Join(usageLines(command), "\n")))
	fmt.Fprintf(&w, "%s\n", roff(strings.Join(description(command), "\n.PP\n")))
	if len(command.Aliases) > 0 {
		fmt.Fprintf(&w, ".SH ALIASES\n%s\n", roff(strings.Join(command.Aliases, ", ")))
	}
	for _, section := range sections(command) {
		fmt.Fprintf(&w, ".SH %s\n", roff(strings.ToUpper(strings.TrimSuffix(section.title, ":"))))
		for _, below := range section.commands {
			fmt.Fprintf(&w, ".TP\n\\fB%s\\fR\n%s\n", roff(below.Name()), roff(below.Short))
		}
	}
	own, global := flagsOf(command)
	if !command.HasParent() {
		own, global = slices.Concat(own, global), nil
	}
	if len(own) > 0 {
		w.WriteString(".SH OPTIONS\n")
	}
	for _, flag := range own {
		fmt.Fprintf(&w, ".TP\n\\fB%s\\fR\n%s\n", roff(flagSyntax(flag)), roff(flagMeaning(flag)))
	}
	if command.Example != "" {
		fmt.Fprintf(&w, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(unindented(command.Example)))
	}
	if command.HasParent() {
		above := pageName(command.Parent())
		w.WriteString(".SH \"SEE ALSO\"\n")
		if len(global) > 0 && above != "midge" {
			fmt.Fprintf(&w, "\\fB%s\\fR(1), ", roff(above))
		}
		fmt.Fprint(&w, "\\fBmidge\\fR(1), which has the options of every command\n")
	}
	return w.String()
}

// roff escapes text for man. Requests of a line of its own stay, as they are ours.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if line != ".PP" && (strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'")) {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		"a-b\\n":        `a\-b\en`,
		".x\n'y\nz.":    "\\&.x\n\\&'y\nz.",
		"one\n.PP\ntwo": "one\n.PP\ntwo",
	} {
		if got := roff(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Each level of help leads on to the next, and everything has its flags explained.
func TestHelp(t *testing.T) {
	dir := t.TempDir()
	help := func(args ...string) string {
		t.Helper()
		return midgeOutput(t, dir, nil, args...)
	}
	if help() != help("help") || help() != help("--help") {
		t.Error("midge, midge help and midge --help say different things")
	}
	if below := help("help", "tokens", "create"); below != help("tokens", "create", "-h") || !strings.HasPrefix(below, "Make a token") {
		t.Errorf("midge help tokens create says\n%s", below)
	}
	if alias := help("help", "e"); alias != help("execute", "--help") {
		t.Errorf("midge help e says\n%s", alias)
	}
	root := newRootCommand(&program{name: "midge", lookupEnv: func(string) (string, bool) { return "", false }})
	for command := range allCommands(root) {
		if command.Name() == "server" {
			continue // It is midge-server that explains it.
		}
		if name := command.CommandPath(); command.Short == "" || strings.HasSuffix(command.Short, ".") {
			t.Errorf("%s is said to %q", name, command.Short)
		}
		for line := range strings.Lines(help(append(strings.Fields(command.CommandPath())[1:], "--help")...)) {
			if len(line) > helpWidth+1 {
				t.Errorf("%s --help has a line of %d columns: %s", command.CommandPath(), len(line)-1, line)
			}
		}
		own, _ := flagsOf(command)
		for _, flag := range own {
			if flagMeaning(flag) == "" {
				t.Errorf("%s does not say what --%s is", command.CommandPath(), flag.Name)
			}
		}
	}
}
