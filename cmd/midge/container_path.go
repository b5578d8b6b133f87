package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"midge/api"
	"midge/client"
	"midge/terminal"
)

// containerPath is a place in a container, as the commands about files have it:
// BUILD[/STEP]:PATH, or HANDLE:PATH. Without BUILD it is the newest one-off build.
type containerPath struct {
	choice containerChoice
	path   string
	text   string
}

var (
	handlePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^b\d+-[0-9a-f]{12}$`) })
	buildPattern  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(\d*)(?:/(.+))?$`) })
)

// parseContainerPath reads one. needsPath tells that the part after the colon must be
// there; otherwise it may be left out, with the colon, for the working directory.
func parseContainerPath(text string, needsPath bool) (containerPath, error) {
	where, path, found := strings.Cut(text, ":")
	place := containerPath{path: path, text: text}
	build := buildPattern().FindStringSubmatch(where)
	switch {
	case text == "":
		return place, errors.New("the place in a container is empty; write it as BUILD:PATH, like 12:report/index.html")
	case handlePattern().MatchString(where):
		place.choice.handle = where
	case build != nil:
		place.choice.build, place.choice.step = build[1], build[2]
	default:
		return place, fmt.Errorf("%q is no place in a container; write it as BUILD:PATH, or BUILD/STEP:PATH, like 12:report/index.html", text)
	}
	if needsPath && (!found || path == "") {
		return place, fmt.Errorf("%q names no file; write it as BUILD:PATH, like 12:report/index.html", text)
	}
	if path == "" {
		place.path = "."
	}
	return place, nil
}

// isContainerPath tells whether an argument of cp is a place in a container. A local
// path that looks like one is written as ./12:x.
func isContainerPath(text string) bool {
	where, _, found := strings.Cut(text, ":")
	return found && (handlePattern().MatchString(where) || buildPattern().MatchString(where))
}

// container gives the container that is meant.
func (c containerPath) container(ctx context.Context, p *program, from *client.Client) (api.Container, error) {
	choice := c.choice
	choice.typed = func(handle string) string {
		if _, path, found := strings.Cut(c.text, ":"); found {
			handle += ":" + path
		}
		return terminal.ShellWord(handle)
	}
	return choice.container(ctx, p, from)
}

// withContainer calls do with the container of a place.
func (p *program) withContainer(ctx context.Context, place containerPath, do func(*client.Client, api.Container) error) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	defer c.Close()
	container, err := place.container(ctx, p, c)
	if err != nil {
		return err
	}
	return do(c, container)
}
