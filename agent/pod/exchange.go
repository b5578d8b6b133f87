package pod

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"midge/artifacts/transfer"
)

// An Order says which trees a pod is to fetch and to send, by their content, and which
// of its volumes are task caches. The server has a handler for each tree, by its place
// in Trees.
type Order struct {
	Trees []Tree `json:"trees"`
	// URL is where the handlers can be reached as well, without the stream: the tree
	// at place 2 at URL/2. "" is nowhere.
	URL string `json:"url,omitempty"`
	// Cache is the directory that pods share; "" is none.
	Cache string `json:"cache,omitempty"`
	// Caches are taken from Cache and kept there.
	Caches []TaskCache `json:"caches,omitempty"`
	// Owner is whose files are made by root; 0 leaves them root's.
	Owner int `json:"owner,omitempty"`
}

// objects is the directory of transfer.FetchOptions.Objects.
func (o Order) objects() string {
	if o.Cache == "" {
		return ""
	}
	return filepath.Join(o.Cache, objectsDir)
}

// give makes what was made in a volume by root its owner's.
func (o Order) give(volume string) error {
	if o.Owner == 0 || os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(volume, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, o.Owner, o.Owner)
	})
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
	stream, err := streamClient(ctx, stdio{})
	if err != nil {
		return fmt.Errorf("greet the server: %w", err)
	}
	e := &exchange{dir: dir, stream: stream}
	order, err := e.order(ctx)
	if err != nil {
		return fmt.Errorf("ask what is to be done: %w", err)
	}
	return e.report(ctx, e.follow(ctx, order))
}

// An exchange is the pod's end of one.
type exchange struct {
	dir    string
	stream *http.Client
}

// The server at the stream's other end, as requests name it.
const (
	streamHost   = "server:80"
	streamServer = "http://" + streamHost
)

func (e *exchange) order(ctx context.Context) (Order, error) {
	response, err := ask(ctx, e.stream.Do, http.MethodGet, streamServer+orderPath, nil)
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
	response, err := ask(ctx, e.stream.Do, http.MethodPost, streamServer+reportPath, bytes.NewReader(text))
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
	if err := e.taskCaches(ctx, order); err != nil {
		report.Failed = err.Error()
		return report
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
	response, err := ask(ctx, http.DefaultClient.Do, http.MethodGet, url, nil)
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
		options := transfer.SendOptions{IncludeIgnored: true, IncludeGit: true, Objects: order.objects()}
		receipt, _, err := transfer.Send(ctx, remote, dir, options)
		return receipt.Digest, receipt.SentCompressed, err
	}
	receipt, err := transfer.Fetch(ctx, remote, tree.Digest, dir, transfer.FetchOptions{Delete: true, Objects: order.objects()})
	if err == nil {
		err = order.give(dir)
	}
	return tree.Digest, receipt.FetchedCompressed, err
}
