package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"midge/server"
)

// newBackupCommand gives the command that writes a backup of a server that runs.
func newBackupCommand(lookupEnv func(string) (string, bool)) *cobra.Command {
	var socket string
	command := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a backup of a server that runs, as a tar archive; - is stdout",
		Args:  oneFile,
		RunE: func(command *cobra.Command, args []string) error {
			fromEnv, _ := lookupEnv("MIDGE_SOCKET")
			body, err := askForBackup(command.Context(), cmp.Or(socket, fromEnv, defaultSocket()))
			if err != nil {
				return err
			}
			defer body.Close()
			if args[0] == "-" {
				_, err := io.Copy(command.OutOrStdout(), body)
				return incomplete(err)
			}
			file, err := renameio.NewPendingFile(args[0], renameio.WithPermissions(0o600))
			if err != nil {
				return fmt.Errorf("write the backup: %w", err)
			}
			defer file.Cleanup()
			if _, err := io.Copy(file, body); err != nil {
				return incomplete(err)
			}
			return file.CloseAtomicallyReplace()
		},
	}
	command.Flags().StringVar(&socket, "socket", "", "`path` of the server's unix socket (default MIDGE_SOCKET, else "+defaultSocket()+")")
	return command
}

// incomplete says that a backup must not be relied on.
func incomplete(err error) error {
	if err == nil {
		return nil
	}
	if written := (*fs.PathError)(nil); errors.As(err, &written) {
		return fmt.Errorf("write the backup: %w", err)
	}
	return fmt.Errorf("the backup is incomplete; see the server's log: %w", err)
}

// askForBackup asks the server at a socket, and gives the archive.
func askForBackup(ctx context.Context, socket string) (io.ReadCloser, error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://midge/api/v1/backup", nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		if sent := (*url.Error)(nil); errors.As(err, &sent) {
			err = sent.Err // which socket it was is said
		}
		return nil, fmt.Errorf("there is no server at the socket %s: start it, or name another with --socket: %w", socket, err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	return nil, errors.Join(fmt.Errorf("the server gives no backup: %s: %s", response.Status, strings.TrimSpace(string(text))), err)
}

// oneFile is the Args of a command that is given a file.
func oneFile(command *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s needs the name of one file, or -, and has %d: see %[1]s --help", command.CommandPath(), len(args))
	}
	return nil
}

// newRestoreCommand gives the command that makes a data dir of a backup.
func newRestoreCommand(lookupEnv func(string) (string, bool)) *cobra.Command {
	var dataDir string
	command := &cobra.Command{
		Use:   "restore FILE",
		Short: "Unpack a backup into a data dir that is empty or not there; - is stdin",
		Args:  oneFile,
		RunE: func(command *cobra.Command, args []string) error {
			fromEnv, _ := lookupEnv("MIDGE_DATA_DIR")
			dir := cmp.Or(dataDir, fromEnv, defaultDataDir())
			backup := command.InOrStdin()
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return fmt.Errorf("read the backup: %w", err)
				}
				defer file.Close()
				backup = file
			}
			checked, err := server.Restore(backup, dir)
			if err == nil && !checked {
				fmt.Fprintf(command.ErrOrStderr(), "the backup is of an earlier version, which did not write down what it holds: see whether it is damaged with midge server verify --data-dir %s\n", dir)
			}
			return err
		},
	}
	command.Flags().StringVar(&dataDir, "data-dir", "", "`directory` to make (default MIDGE_DATA_DIR, else "+defaultDataDir()+")")
	return command
}
