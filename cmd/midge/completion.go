package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// shells are those that scripts are for, each with what writes its script.
var shells = map[string]func(root *cobra.Command, to io.Writer) error{
	"bash":       func(root *cobra.Command, to io.Writer) error { return root.GenBashCompletionV2(to, true) },
	"zsh":        (*cobra.Command).GenZshCompletion,
	"fish":       func(root *cobra.Command, to io.Writer) error { return root.GenFishCompletion(to, true) },
	"powershell": (*cobra.Command).GenPowerShellCompletionWithDesc,
}

// scriptMistakes are cobra's, each with what is put in its place.
var scriptMistakes = strings.NewReplacer(
	// Of --input=src= only the flag is not completed, and of go-src= all is.
	"=~ '-.*='", "=~ '^-[^=]*='",
	"-- '-.*='", "-- '^-[^=]*='",
	// fish gives words without their quotes and backslashes, and eval would take them apart, or
	// run what is in them. The home directory is still meant by ~.
	"(commandline -opc)", `(string escape --no-quoted -- (commandline -opc) | string replace -r '^\\\\~' '~')`,
	// What is completed may begin with a dash.
	`string split --max 1 \t $`, `string split --max 1 -- \t $`,
)

func newCompletionCommand(p *program) *cobra.Command {
	var shell string
	command := &cobra.Command{
		Use:     "completion SHELL",
		GroupID: groupTargets,
		Short:   "Print the script that completes command lines in a shell",
		Long: `Print the script that completes command lines in a shell: bash, zsh, fish or powershell.
make install puts the scripts where the shells look for them. That of bash needs the
package bash-completion.

What a server has is completed when it answers within 80 ms, and remembered for a few seconds.`,
		Example: `  source <(midge completion bash)                          # in ~/.bashrc
  source <(midge completion zsh)                           # in ~/.zshrc, after compinit
  midge completion fish | source                           # in config.fish
  midge completion powershell | Out-String | Invoke-Expression`,
		Args: func(command *cobra.Command, args []string) error {
			if shell != "" {
				args = append(args, shell)
			}
			return exactly("the name of a shell: bash, zsh, fish or powershell", 1)(command, args)
		},
		ValidArgs: []string{"bash", "fish", "powershell", "zsh"},
		RunE: func(command *cobra.Command, args []string) error {
			shell := append(args, shell)[0]
			write, ok := shells[shell]
			if !ok {
				return fmt.Errorf("there is no script for the shell %q, only for bash, zsh, fish and powershell", shell)
			}
			var script strings.Builder
			if err := write(command.Root(), &script); err != nil {
				return err
			}
			_, err := scriptMistakes.WriteString(p.stdout, script.String())
			return err
		},
	}
	command.Flags().StringVar(&shell, "shell", "", "the shell")
	command.Flags().Lookup("shell").Hidden = true // fly has it in place of the argument
	return command
}
