package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// shells are those that scripts are for, each with what writes its script.
var shells = map[string]func(root *cobra.Command, p *program) error{
	"bash":       func(root *cobra.Command, p *program) error { return root.GenBashCompletionV2(p.stdout, true) },
	"zsh":        func(root *cobra.Command, p *program) error { return root.GenZshCompletion(p.stdout) },
	"fish":       func(root *cobra.Command, p *program) error { return root.GenFishCompletion(p.stdout, true) },
	"powershell": func(root *cobra.Command, p *program) error { return root.GenPowerShellCompletionWithDesc(p.stdout) },
}

func newCompletionCommand(p *program) *cobra.Command {
	return &cobra.Command{
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
		Args:      exactly("the name of a shell: bash, zsh, fish or powershell", 1),
		ValidArgs: []string{"bash", "fish", "powershell", "zsh"},
		RunE: func(command *cobra.Command, args []string) error {
			write, ok := shells[args[0]]
			if !ok {
				return fmt.Errorf("there is no script for the shell %q, only for bash, zsh, fish and powershell", args[0])
			}
			return write(command.Root(), p)
		},
	}
}
