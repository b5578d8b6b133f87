package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"midge/server"
)

// newVerifyCommand gives the command that reads all artifacts of a data dir.
func newVerifyCommand(lookupEnv func(string) (string, bool)) *cobra.Command {
	var dataDir string
	command := &cobra.Command{
		Use:   "verify",
		Short: "Read all artifacts of a stopped server, and say what is damaged",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			fromEnv, _ := lookupEnv("MIDGE_DATA_DIR")
			dir := cmp.Or(dataDir, fromEnv, defaultDataDir())
			verified, err := server.Verify(command.Context(), dir)
			if err != nil {
				return err
			}
			for _, problem := range verified.Problems {
				fmt.Fprintln(command.OutOrStdout(), problem)
			}
			if n := len(verified.Problems); n > 0 {
				return fmt.Errorf("%d problems in %s: artifacts that have damaged contents cannot be used; upload them again, or restore the data dir", n, dir)
			}
			fmt.Fprintf(command.OutOrStdout(), "all is well: %d trees of %d objects in %d packs, %d directories\n",
				verified.Trees, verified.Objects, verified.Packs, verified.Directories)
			return nil
		},
	}
	command.Flags().StringVar(&dataDir, "data-dir", "", "`directory` of the server (default MIDGE_DATA_DIR, else "+defaultDataDir()+")")
	return command
}
