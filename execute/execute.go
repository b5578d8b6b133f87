// Package execute is the user's side of an execution: it reads the task file, sends
// the inputs, makes the plan, follows the build and brings its outputs home.
//
// It talks to a server through package client, and tells how it goes by Progress;
// it prints nothing, and knows neither flags nor signals.
package execute

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"midge/api"
	"midge/client"
	"midge/trace"
)

// Execution is a request whose task file is read and whose inputs and outputs are
// known to fit it.
type Execution struct {
	request  Request
	config   api.TaskConfig
	selected selection
	image    string // the artifact that is the task's image, "" for none
}

// Prepare reads what the request names on this machine, and says all that is wrong
// with it. It talks to no server.
func Prepare(request Request) (*Execution, error) {
	config, err := request.taskConfig()
	if err != nil {
		return nil, err
	}
	image, imageErr := request.selectImage(&config)
	selected, err := request.selectTrees(config)
	if err := errors.Join(imageErr, err); err != nil {
		return nil, err
	}
	if confirm := request.Confirm; confirm != nil {
		var mu sync.Mutex
		request.Confirm = func(large *LargeUploadError) error {
			mu.Lock()
			defer mu.Unlock()
			return confirm(large)
		}
	}
	e := &Execution{request: request, config: config, selected: selected}
	if image != nil {
		e.image = image.name
		e.selected.inputs = append(e.selected.inputs, *image)
	}
	return e, nil
}

// Estimate finds out what of the inputs would be sent, which observe is told, and sends
// nothing.
func (e *Execution) Estimate(ctx context.Context, c *client.Client, observe func(Progress)) error {
	_, _, err := e.sendInputs(ctx, c, oneAtATime(observe))
	return err
}

// Run executes on the server of c and waits for the outcome, or with Background only
// until the build is created. Closing abort aborts the build, which Run then still
// waits for; when ctx is done Run leaves at once, with the cause as its error.
//
// A build that did not succeed is no error: the outcome says so. Errors are those of
// package client, and those of the files that are sent or brought home.
func (e *Execution) Run(ctx context.Context, c *client.Client, abort <-chan struct{}, observe func(Progress)) (Outcome, error) {
	observe = oneAtATime(observe)
	build, err := e.start(ctx, c, abort, observe)
	if err != nil {
		return Outcome{}, err
	}
	if e.request.Background {
		return Outcome{BuildID: build.ID, Status: build.Status}, nil
	}
	outcome, err := e.await(ctx, c, build, abort, observe)
	if err != nil {
		return outcome, err
	}
	return outcome, e.collect(ctx, c, build.ID, observe)
}

// oneAtATime lets only one goroutine at a time into observe.
func oneAtATime(observe func(Progress)) func(Progress) {
	var mu sync.Mutex
	return func(progress Progress) {
		mu.Lock()
		defer mu.Unlock()
		observe(progress)
	}
}

// start sends the inputs and creates the build. Until it is created, abort only keeps
// it from being.
func (e *Execution) start(ctx context.Context, c *client.Client, abort <-chan struct{}, observe func(Progress)) (api.Build, error) {
	early, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer onClose(abort, func() { cancel(ErrAbortedEarly) })()
	artifacts, info, err := e.sendInputs(early, c, observe)
	if err != nil {
		return api.Build{}, err
	}
	select {
	case <-abort:
		return api.Build{}, ErrAbortedEarly
	default:
	}
	// Not early: a build that may have been created must be known, to be aborted.
	build, err := e.create(ctx, c, info, artifacts)
	if err != nil {
		return api.Build{}, e.lostInput(ctx, c, err)
	}
	observe(Created{Build: build, URL: buildURL(c, info, build)})
	return build, nil
}

// create creates the build, in the pipeline whose job's inputs it has.
func (e *Execution) create(ctx context.Context, c *client.Client, info api.Info, artifacts map[string]int) (build api.Build, err error) {
	// What becomes of the build is below it, and is what people look for.
	ctx, span := trace.StartSpan(ctx, "create build", trace.Debug)
	defer func() { span.End(err) }()
	plan := e.plan(info, artifacts)
	if e.request.job != nil {
		return c.CreatePipelineBuild(ctx, e.request.job.pipeline, plan)
	}
	key := ""
	if info.Offers(api.FeatureRequests) {
		key = rand.Text()
	}
	return c.CreateBuild(ctx, plan, key)
}

// await follows the build to its end, and aborts it when told to.
func (e *Execution) await(ctx context.Context, c *client.Client, build api.Build, abort <-chan struct{}, observe func(Progress)) (Outcome, error) {
	following, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer onClose(abort, func() {
		observe(Aborting{BuildID: build.ID})
		if err := c.AbortBuild(following, build.ID); err != nil {
			cancel(fmt.Errorf("abort build %d: %w", build.ID, err))
		}
	})()
	return Follow(following, c, build.ID, func(happened Happened) { observe(happened) })
}

// onClose runs f once done is closed, unless stop is called before. stop waits for an
// f that is running.
func onClose(done <-chan struct{}, f func()) (stop func()) {
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			f()
		case <-stopped:
		}
	}()
	return func() { close(stopped); <-ended }
}

// buildURL gives the page of a build: that of the URL the user knows, or, of a socket,
// that of the URL the server knows.
func buildURL(c *client.Client, info api.Info, build api.Build) string {
	base := c.URL()
	if strings.HasPrefix(base, "unix:") {
		base = strings.TrimRight(info.ExternalURL, "/")
	}
	return fmt.Sprintf("%s/builds/%d", base, build.ID)
}
