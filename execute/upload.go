package execute

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"midge/artifacts/transfer"
	"midge/client"
)

// UploadOptions says what of directories is sent, and how much.
type UploadOptions struct {
	// IncludeIgnored sends also what ignore files leave out, IncludeGit what is named .git.
	IncludeIgnored, IncludeGit bool
	// MaxUpload is how many bytes of a directory may be sent without asking; 0 is any number.
	MaxUpload int64
	// Confirm is asked when there are more. An error ends the upload; nil stands for one
	// that gives the error back. An Execution calls it for one input at a time.
	Confirm func(*LargeUploadError) error
	// DryRun finds out what would be sent, and does no more.
	DryRun bool
	// CacheDir is where digests of files are remembered from one upload or download to the
	// next; "" remembers nothing.
	CacheDir string
}

// confirm asks whether so much may be sent.
func (o *UploadOptions) confirm(what string, receipt *transfer.Receipt) error {
	if o.MaxUpload == 0 || receipt.SentBytes <= o.MaxUpload {
		return nil
	}
	large := &LargeUploadError{What: what, Bytes: receipt.SentBytes, Max: o.MaxUpload, Largest: receipt.Largest}
	if o.Confirm == nil {
		return large
	}
	return o.Confirm(large)
}

// upload is a directory on its way to a server that takes trees.
type upload struct {
	UploadOptions
	what string // for errors: the input "src"
	name string // of the artifact
	dir  string
}

// cannotBeSent says so, and why.
func (u *upload) cannotBeSent(reason error) error {
	return fmt.Errorf("%s cannot be sent: %w", u.what, unreadable(reason))
}

// send sends what the server lacks of the directory. Before anything is sent, ready
// waits until it is known that the server takes it.
func (u *upload) send(ctx context.Context, c *client.Client, ready func() error, observe func(Progress)) (Sent, error) {
	ctx, remote, cancel := withTrees(ctx, c, ready)
	defer cancel(nil)
	options := transfer.SendOptions{
		IncludeIgnored: u.IncludeIgnored,
		IncludeGit:     u.IncludeGit,
		CacheDir:       u.CacheDir,
		DryRun:         u.DryRun,
		Query:          url.Values{"name": {u.name}},
		Progress: &meter{tell: func(files, moved, total int64) {
			observe(Sending{Input: u.name, Files: files, Bytes: moved, Total: total})
		}},
		Confirm: func(_ context.Context, receipt *transfer.Receipt) error {
			err := u.confirm(u.what, receipt)
			if err != nil {
				cancel(err)
			}
			return err
		},
	}
	sent := Sent{Input: u.name}
	var answer []byte
	var err error
	if sent.Receipt, answer, err = transfer.Send(ctx, remote, u.dir, options); err != nil {
		return Sent{}, transferError(ctx, u.cannotBeSent, err)
	}
	if u.DryRun {
		return sent, nil
	}
	if err := json.Unmarshal(answer, &sent.Artifact); err != nil {
		return Sent{}, fmt.Errorf("the server's answer to %s is not understood: %w", u.what, err)
	}
	return sent, nil
}
