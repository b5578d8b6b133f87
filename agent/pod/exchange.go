package pod

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"midge/artifacts/transfer"
)

// An Order says which trees a pod is to fetch and to send, by their content. The
// server has a handler for each, by their place in Trees.
type Order struct {
	Trees []Tree `json:"trees"`
	// URL is where the handlers can be reached as well, without the stream: the tree
	// at place 2 at URL/2. "" is nowhere.
	URL string `json:"url,omitempty"`
	// Objects is the directory of transfer.FetchOptions.Objects; "" is none.
	Objects string `json:"objects,omitempty"`
	// Owner is whose files are made by root; 0 leaves them root's.
	Owner int `json:"owner,omitempty"`
	// Release has the init container end that holds the pod.
	Release bool `json:"release,omitempty"`
}

// A Tree is fetched into a volume, or sent from it when it has no digest.
type Tree struct {
	Volume int    `json:"volume"`
	Digest string `json:"digest,omitempty"`
}

// A Report says what became of an order.
type Report struct {
	// Digests are those of the order's trees, in their order.
	Digests []string `json:"digests"`
	// Bytes is what was fetched and sent, compressed.
	Bytes int64 `json:"bytes"`
	// Unreachable says why the order's URL was of no use, "" when it was.
	Unreachable string `json:"unreachable,omitempty"`
	// Failed says what went wrong, "" when all was done.
	Failed string `json:"failed,omitempty"`
}

// Ways of the server that an exchange has, by its stream.
const (
	orderPath  = "/order"
	treesPath  = "/trees/"
	reportPath = "/report"
)

// reachTimeout is how long a server may take to be reached by its URL.
const reachTimeout = 5 * time.Second

// exchangeTrees does what the server on standard input and output orders.
func exchangeTrees(ctx context.Context, dir string) error {
	if _, err := io.WriteString(os.Stdout, greeting); err != nil {
		return err
	}
	e := &exchange{dir: dir, stream: streamClient(stdio{})}
	order, err := e.order(ctx)
	if err != nil {
		return fmt.Errorf("ask what is to be done: %w", err)
	}
	report := e.follow(ctx, order)
	if err := e.report(ctx, report); err != nil || report.Failed != "" || !order.Release {
		return err
	}
	return release(dir) // with which this program ends, too
}

// An exchange is the pod's end of one.
type exchange struct {
	dir    string
	stream *http.Client
}

// streamServer stands for the server at the stream's other end.
const streamServer = "http://server"

func (e *exchange) order(ctx context.Context) (Order, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, streamServer+orderPath, nil)
	if err != nil {
		return Order{}, err
	}
	response, err := e.stream.Do(r)
	if err != nil {
		return Order{}, err
	}
	defer response.Body.Close()
	return decode[Order](ctx, response.Body)
}

func (e *exchange) report(ctx context.Context, report Report) error {
	text, err := json.Marshal(report)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, streamServer+reportPath, bytes.NewReader(text))
	if err != nil {
		return err
	}
	response, err := e.stream.Do(r)
	if err != nil {
		return fmt.Errorf("report what was done: %w", err)
	}
	return response.Body.Close()
}

// follow does what an order says.
func (e *exchange) follow(ctx context.Context, order Order) (report Report) {
	client, base := e.stream, streamServer+treesPath
	if order.URL != "" {
		if err := reach(ctx, order.URL); err != nil {
			report.Unreachable = err.Error()
		} else {
			client, base = http.DefaultClient, order.URL+"/"
		}
	}
	for i, tree := range order.Trees {
		// One that is cut is begun again by the server, which knows whether that is of use.
		remote := &transfer.Remote{Client: client, URL: base + strconv.Itoa(i), Attempts: 1}
		digest, moved, err := e.tree(ctx, remote, tree, order)
		report.Bytes += moved
		if err != nil {
			report.Failed = err.Error()
			return report
		}
		report.Digests = append(report.Digests, digest)
	}
	return report
}

// reach tells why a server cannot be reached by a URL.
func reach(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%s is another's: it answered %s", url, response.Status)
	}
	return nil
}

// tree fetches or sends a tree, and gives its digest and how many bytes that took.
func (e *exchange) tree(ctx context.Context, remote *transfer.Remote, tree Tree, order Order) (digest string, moved int64, err error) {
	dir := filepath.Join(e.dir, VolumeDir(tree.Volume))
	if tree.Digest == "" {
		receipt, _, err := transfer.Send(ctx, remote, dir, transfer.SendOptions{IncludeIgnored: true, IncludeGit: true})
		return receipt.Digest, receipt.SentCompressed, err
	}
	receipt, err := transfer.Fetch(ctx, remote, tree.Digest, dir, transfer.FetchOptions{Delete: true, Objects: order.Objects})
	if err == nil && order.Owner != 0 && os.Geteuid() == 0 {
		err = give(dir, order.Owner)
	}
	return tree.Digest, receipt.FetchedCompressed, err
}

// give makes a tree a user's.
func give(dir string, owner int) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, owner, owner)
	})
}

// holdFile is a named pipe in the directory that the modes share: who holds the pod
// waits for somebody to open it.
const holdFile = "hold"

// Hold keeps the pod from starting until an exchange releases it.
func Hold(dir string) error {
	path := filepath.Join(dir, holdFile)
	if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("hold the pod: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("hold the pod: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(path))
}

// release ends the holding. One that has ended is no error.
func release(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, holdFile), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("let the pod go on: %w", err)
	}
	return f.Close()
}
