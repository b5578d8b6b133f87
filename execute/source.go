package execute

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"midge/api"
	"midge/client"
)

// source is where an input comes from: a directory of this machine, an artifact that
// the server has, or a version of a resource that it can fetch.
type source struct {
	name string
	path string // of the directory, or of an image's archive, absolute; "" for what the server has
	// image is how the image lies at path that this is; noImage for an input.
	image imageKind
	given string // how the image was given

	job *api.JobInput // what it is in a job; nil for no version of a resource

	artifact int // its id; 0 for the output of a build
	build    int
	output   string
}

// source reads what an input was given as: a directory, or @BUILD/OUTPUT.
func (r Request) source(input, text string) (source, error) {
	if reference, is := strings.CutPrefix(text, "@"); is {
		build, output, _ := strings.Cut(reference, "/")
		id, err := strconv.Atoi(build)
		if err != nil || id <= 0 || output == "" {
			return source{}, fmt.Errorf("-i %s=%s is not understood; write the output of a build as -i %s=@BUILD/OUTPUT, and a directory of that name as ./%s",
				input, text, input, text)
		}
		return source{name: input, build: id, output: output}, nil
	}
	return source{name: input, path: r.path(text)}, r.checkDirectory(input, text)
}

// what is what errors call it.
func (s source) what() string {
	if s.image != noImage {
		return "the image " + s.given
	}
	return fmt.Sprintf("the input %q", s.name)
}

// options are how it is to be sent: an image as it is, whatever is ignored in it.
func (s source) options(of UploadOptions) UploadOptions {
	if s.image != noImage {
		of.IncludeIgnored, of.IncludeGit = true, true
	}
	return of
}

// checkDirectory says what is wrong with a path as an input.
func (r Request) checkDirectory(input, path string) error {
	info, err := os.Stat(r.path(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the input %q cannot be sent: there is no directory %s", input, path)
	case err != nil:
		return fmt.Errorf("the input %q cannot be sent: %w", input, err)
	case !info.IsDir():
		return fmt.Errorf("the input %q cannot be sent: %s is a file, and an input is a directory", input, path)
	}
	return nil
}

// locate gives the id of the artifact.
func (s source) locate(ctx context.Context, c *client.Client) (int, error) {
	if s.artifact != 0 {
		return s.artifact, nil
	}
	artifacts, err := c.BuildArtifacts(ctx, s.build)
	if err != nil {
		return 0, err
	}
	id := 0
	names := make([]string, len(artifacts))
	for i, artifact := range artifacts {
		names[i] = artifact.Name
		if artifact.Name == s.output {
			id = artifact.ID
		}
	}
	if id == 0 {
		return 0, fmt.Errorf("%s cannot be had: %w", s.what(),
			unknownName(fmt.Sprintf("build %d has left", s.build), "output", s.output, names))
	}
	return id, nil
}
