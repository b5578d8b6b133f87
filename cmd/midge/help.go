package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// How wide help is written, and the sentences in it, in columns.
const (
	helpWidth = 100
	textWidth = 88
)

// newHelpCommand gives the command that explains the others.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND ...]",
		GroupID: groupTargets,
		Short:   "Explain a command",
		Args:    cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, args []string) error {
			about := command.Root()
			for _, name := range args {
				i := slices.IndexFunc(about.Commands(), func(c *cobra.Command) bool { return c.Name() == name || c.HasAlias(name) })
				if i < 0 {
					return unknownCommand(about, name)
				}
				about = about.Commands()[i]
			}
			return about.Help()
		},
		ValidArgsFunction: func(command *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			about, _, err := command.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var choices []completionChoice
			for _, c := range about.Commands() {
				if c.IsAvailableCommand() {
					choices = append(choices, completionChoice{c.Name(), c.Short})
				}
			}
			return offer(choices, word)
		},
	}
}

// writeHelp explains a command.
func writeHelp(to io.Writer, command *cobra.Command) error {
	w := bufio.NewWriter(to)
	for i, paragraph := range description(command) {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, strings.Join(wrap(paragraph, textWidth), "\n"))
	}
	fmt.Fprintf(w, "\nUsage:\n%s", indented(usageLines(command)))
	if len(command.Aliases) > 0 {
		fmt.Fprintf(w, "\nAliases:\n  %s\n", strings.Join(command.Aliases, ", "))
	}
	if command.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", command.Example)
	}
	for _, section := range sections(command) {
		fmt.Fprintf(w, "\n%s\n", section.title)
		for _, below := range section.commands {
			fmt.Fprintf(w, "  %-16s  %s\n", below.Name(), below.Short)
		}
	}
	own, global := flagsOf(command)
	if command == command.Root() {
		own, global = slices.Concat(own, global), nil
	}
	if len(own) > 0 {
		fmt.Fprintln(w, "\nFlags:")
		writeFlags(w, own)
	}
	if len(global) > 0 {
		var names []string
		for _, flag := range global {
			names = append(names, "--"+flag.Name)
		}
		fmt.Fprintf(w, "\nFlags of every command, see %s --help:\n%s", command.Root().Name(), indented(wrap(strings.Join(names, " "), helpWidth-2)))
	}
	if command.HasAvailableSubCommands() {
		path := strings.TrimPrefix(command.CommandPath(), command.Root().Name())
		fmt.Fprintf(w, "\nMore of each: %s help%s COMMAND\n", command.Root().Name(), path)
	}
	return w.Flush()
}

// description is what a command does, at length if there is more to say, by paragraphs.
func description(command *cobra.Command) []string {
	if command.Long != "" {
		return strings.Split(command.Long, "\n\n")
	}
	return []string{command.Short + "."}
}

// usageLines show how a command is written.
func usageLines(command *cobra.Command) []string {
	var lines []string
	if command.Runnable() {
		line := command.UseLine()
		if !command.HasParent() {
			line = command.Name() + " [flags]"
		}
		lines = append(lines, line)
	}
	if command.HasAvailableSubCommands() {
		lines = append(lines, command.CommandPath()+" COMMAND [flags]")
	}
	return lines
}

// section is some of the commands below another.
type section struct {
	title    string
	commands []*cobra.Command
}

// sections gives the commands below a command in their groups.
func sections(command *cobra.Command) []section {
	groups := command.Groups()
	if len(groups) == 0 {
		groups = []*cobra.Group{{Title: "Commands:"}}
	}
	var all []section
	for _, group := range groups {
		s := section{title: group.Title}
		for _, below := range command.Commands() {
			if below.GroupID == group.ID && below.IsAvailableCommand() {
				s.commands = append(s.commands, below)
			}
		}
		if len(s.commands) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// flagsOf gives the flags that a command alone has, and those of every command.
func flagsOf(command *cobra.Command) (own, global []*pflag.Flag) {
	root := command.Root()
	command.InitDefaultHelpFlag()
	command.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		switch everywhere := root.Flags().Lookup(flag.Name); {
		case flag.Hidden || flag.Name == "help":
		case everywhere != nil && everywhere.Usage == flag.Usage && flag.Name != "version":
			global = append(global, flag)
		default:
			own = append(own, flag)
		}
	})
	return own, global
}

// flagSyntax shows how a flag is written, its placeholder or its choices behind it.
func flagSyntax(flag *pflag.Flag) string {
	placeholder, _ := pflag.UnquoteUsage(flag)
	placeholder = strings.ReplaceAll(placeholder, " or ", "|")
	name := "--" + flag.Name
	if flag.Shorthand != "" {
		name = "-" + flag.Shorthand + ", " + name
	}
	switch {
	case placeholder == "":
		return name
	case flag.NoOptDefVal != "":
		return name + "[=" + placeholder + "]"
	}
	return name + " " + placeholder
}

// flagMeaning says what a flag is for, and what it is when it is not given.
func flagMeaning(flag *pflag.Flag) string {
	_, usage := pflag.UnquoteUsage(flag)
	switch flag.DefValue {
	case "", "false", "0", "[]", "0s":
		return usage
	}
	return usage + " (default " + flag.DefValue + ")"
}

// writeFlags lists flags, their meanings in a column beside them.
func writeFlags(w io.Writer, flags []*pflag.Flag) {
	column := 0
	for _, flag := range flags {
		column = max(column, len(flagIndent(flag)+flagSyntax(flag))+2)
	}
	for _, flag := range flags {
		lines := wrap(flagMeaning(flag), helpWidth-2-column)
		fmt.Fprintf(w, "  %-*s%s\n", column, flagIndent(flag)+flagSyntax(flag), lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(w, "  %-*s%s\n", column, "", line)
		}
	}
}

// flagIndent stands where a short flag would be.
func flagIndent(flag *pflag.Flag) string {
	if flag.Shorthand == "" {
		return "    "
	}
	return ""
}

// wrap breaks text into lines of at most that width, between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// indented gives lines that begin with two spaces.
func indented(lines []string) string {
	var text strings.Builder
	for _, line := range lines {
		text.WriteString("  " + line + "\n")
	}
	return text.String()
}
