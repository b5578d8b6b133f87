package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"midge/api"
	"midge/client"
	"midge/execute"
)

func newListFilesCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "ls [BUILD[/STEP]][:PATH]",
		GroupID: groupBuilds,
		Short:   "List the files of a build's container",
		Long: `List the files of a build's container: of the working directory of its task, or of PATH,
which is absolute or relative to that. It needs nothing in the container, and no process
in it: the container of a task that runs, has ended or is held will do.`,
		Example: `  midge ls 12
  midge ls 12:/etc
  midge ls 12/one-off:report --json`,
		Args: arguments(0, 1),
		RunE: func(command *cobra.Command, args []string) error {
			text := ":"
			if len(args) == 1 {
				text = args[0]
			}
			place, err := parseContainerPath(text, false)
			if err != nil {
				return err
			}
			return p.withContainer(command.Context(), place, func(c *client.Client, container api.Container) error {
				files, err := c.ListFiles(command.Context(), container.ID, place.path)
				if err != nil {
					return err
				}
				return answer(p, files, filesTable)
			})
		},
	}
}

func filesTable(files []api.File) table {
	t := table{headers: []string{"mode", "owner", "size", "modified", "name"}}
	for _, f := range files {
		length, name := "-", f.Name
		switch f.Type {
		case api.FileRegular:
			length = size(f.Size)
		case api.FileDirectory:
			name += "/"
		case api.FileSymlink:
			name += " -> " + f.Target
		}
		t.add(cell{text: fileMode(f)}, cell{text: fmt.Sprintf("%d:%d", f.UID, f.GID)}, cell{text: length},
			cell{text: f.Modified.Local().Format(timeShown)}, cell{text: name})
	}
	return t
}

// fileMode shows a file's type and permissions as ls does.
func fileMode(f api.File) string {
	letters := []byte(fs.FileMode(f.Mode & 0o777).String())
	switch f.Type {
	case api.FileDirectory:
		letters[0] = 'd'
	case api.FileSymlink:
		letters[0] = 'l'
	case api.FileOther:
		letters[0] = '?'
	}
	for _, special := range []struct {
		bit    uint32
		at     int
		letter byte
	}{{0o4000, 3, 's'}, {0o2000, 6, 's'}, {0o1000, 9, 't'}} {
		switch {
		case f.Mode&special.bit == 0:
		case letters[special.at] == 'x':
			letters[special.at] = special.letter
		default:
			letters[special.at] = special.letter - 'a' + 'A'
		}
	}
	return string(letters)
}

func newCatFileCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "cat BUILD[/STEP]:PATH",
		GroupID: groupBuilds,
		Short:   "Print a file of a build's container",
		Long: `Print a file of a build's container, whose PATH is absolute or relative to the working
directory of its task. It needs nothing in the container. A connection that is lost is made
again, and the file goes on where it was.`,
		Example: `  midge cat 12:report/index.txt
  midge cat 12:core | gdb -c /dev/stdin ./program`,
		Args: exactly("the build and the file: BUILD:PATH", 1),
		RunE: func(command *cobra.Command, args []string) error {
			place, err := parseContainerPath(args[0], true)
			if err != nil {
				return err
			}
			return p.withContainer(command.Context(), place, func(c *client.Client, container api.Container) error {
				return c.CatFile(command.Context(), container.ID, place.path, p.stdout)
			})
		},
	}
}

func newDiffCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "diff [BUILD[/STEP]]",
		GroupID: groupBuilds,
		Short:   "Show what a task has changed in its image and its inputs",
		Long: `Show what a task has changed in its image and its inputs: A is a file that was added, M
one that was modified, D one that was removed. A file that was written with what it had
is no change; a directory that was removed stands for all that was in it. Outputs and
caches are not shown: midge ls lists them.`,
		Example: `  midge diff 12
  midge diff 12 --json | jq -r '.[] | select(.change == "removed") | .path'`,
		Args: arguments(0, 1),
		RunE: func(command *cobra.Command, args []string) error {
			text := ":"
			if len(args) == 1 {
				text = args[0]
			}
			place, err := parseContainerPath(text, false)
			if err == nil && place.path != "." {
				err = fmt.Errorf("midge diff shows all that a task has changed: name the build alone, and not %s", text)
			}
			if err != nil {
				return err
			}
			return p.withContainer(command.Context(), place, func(c *client.Client, container api.Container) error {
				changes, err := c.FileChanges(command.Context(), container.ID)
				if err != nil {
					return err
				}
				return answer(p, changes, changesTable)
			})
		},
	}
}

func changesTable(changes []api.FileChange) table {
	t := table{headers: []string{"", "size", "path"}}
	for _, c := range changes {
		length, name := "-", c.Path
		switch c.Type {
		case api.FileRegular:
			length = size(c.Size)
		case api.FileDirectory:
			name += "/"
		}
		letter := map[api.FileChangeKind]cell{
			api.FileAdded: {"A", green}, api.FileModified: {"M", yellow}, api.FileRemoved: {"D", red},
		}[c.Change]
		t.add(letter, cell{text: length}, cell{text: name})
	}
	return t
}

func newCopyCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:     "cp BUILD[/STEP]:PATH LOCAL | LOCAL BUILD[/STEP]:PATH",
		GroupID: groupBuilds,
		Short:   "Copy files out of a build's container, or into it",
		Long: `Copy a file, or a directory with all that is in it, out of a build's container or into
it. It needs nothing in the container, and no process in it.

A directory is copied into the other one when that is there, else to be it; one that ends
in /. is copied for what is in it. Permissions, times and symbolic links are kept, and
what is put into a container belongs to whom the directory there does. Only what the
other end lacks is sent: a copy that was broken off goes on where it was when it is
started again.

A local path that looks like a build's is written with ./ before it.`,
		Example: `  midge cp 12:core .
  midge cp 12:/var/log ./log
  midge cp ./fixed.go 12:src/parse.go
  midge cp ./data/. 12/one-off:/data`,
		Args: exactly("what to copy and where to, one of them in a container: BUILD:PATH", 2),
		RunE: func(command *cobra.Command, args []string) error {
			from, to := isContainerPath(args[0]), isContainerPath(args[1])
			switch {
			case from && to:
				return errors.New("both are in containers: copy to a directory here first, and from there to the other")
			case !from && !to:
				return errors.New("neither is in a container: write one of them as BUILD:PATH, like 12:report")
			}
			remote, local := args[0], args[1]
			if to {
				remote, local = args[1], args[0]
			}
			if strings.HasSuffix(remote, ":") {
				remote += "."
			}
			place, err := parseContainerPath(remote, false)
			if err != nil {
				return err
			}
			return p.withContainer(command.Context(), place, func(c *client.Client, container api.Container) error {
				view := newExecutionView(p)
				defer view.close()
				copying := execute.Copy{Handle: container.ID, Path: place.path, Local: p.copyPath(local), Name: remote, CacheDir: cacheDir()}
				if to {
					sent, err := copying.In(command.Context(), c, view.observe)
					return p.copied(view, sent, err, uploaded{sent.Artifact, sent.Receipt})
				}
				received, err := copying.Out(command.Context(), c, view.observe)
				return p.copied(view, received, err, downloaded{received.Artifact, received.Receipt})
			})
		},
	}
}

// copyPath gives a local path in absolute terms, and leaves at its end what tells how
// it is meant.
func (p *program) copyPath(local string) string {
	absolute := p.path(local)
	switch {
	case local == "." || len(local) > 1 && local[len(local)-2:] == "/.":
		return absolute + "/."
	case local[len(local)-1:] == "/" && absolute != "/":
		return absolute + "/"
	}
	return absolute
}

// copied tells how a copy went.
func (p *program) copied(view *executionView, done execute.Progress, err error, record any) error {
	if err != nil {
		return err
	}
	if p.flags.json {
		return p.printJSON(record)
	}
	view.observe(done)
	return nil
}
