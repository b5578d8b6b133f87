package security

import (
	"net/http"
	"strings"
	"testing"

	"midge/artifacts"
)

// Who knows the digest of what another team has sent can neither have it, nor put it
// into a tree of their own, nor learn that it is there.
func TestContentsByDigestOnTheWire(t *testing.T) {
	s := start(t)
	const secret = "blue's secret\n"
	s.Write("src/secret.txt", secret)
	s.Midge("--team", "blue", "artifacts", "push", s.Path("src")).Want(t, 0)
	red, blue := logIn(t, s, "red"), logIn(t, s, "blue")

	there := artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum([]byte(secret))}
	nowhere := artifacts.Key{Kind: artifacts.KindContent, Digest: artifacts.Sum([]byte("nobody's"))}
	of := func(key artifacts.Key) (tree artifacts.TreeObject, pack string) {
		tree = artifacts.EncodeTree([]artifacts.Entry{{Name: "stolen", Type: artifacts.TypeFile, Size: int64(len(secret)), Content: key}})[0]
		var frame artifacts.FrameBuilder
		frame.Add(artifacts.Key{Kind: artifacts.KindTree, Digest: tree.Digest}, tree.Record())
		return tree, string(artifacts.AppendPackEnd(frame.AppendFrame(artifacts.AppendPackStart(nil))))
	}
	const team = "/api/v1/teams/red/artifacts"
	var answers [2]string
	for i, key := range []artifacts.Key{there, nowhere} {
		asked := string(artifacts.AppendKey(nil, key))
		answers[i] = red.want(http.StatusOK, "POST", team+artifacts.HavePath, asked)
		status, fetched := red.do("POST", team+artifacts.FetchPath, asked)
		if status != http.StatusNotFound || strings.Contains(fetched, secret) {
			t.Errorf("who asks for a content has status %d: %q", status, fetched)
		}
		tree, pack := of(key)
		red.want(http.StatusNoContent, "POST", team+artifacts.ObjectsPath+"?tree="+tree.Digest.String(), pack)
		missing := red.want(http.StatusConflict, "POST", team+artifacts.TreesPath+tree.Digest.String(), "")
		answers[i] += strings.ReplaceAll(missing, string(tree.Digest[:]), "the tree")
	}
	if answers[0] != answers[1] {
		t.Errorf("of what another team has it says %q, and of what nobody has %q", answers[0], answers[1])
	}
	if list := red.want(http.StatusOK, "GET", team, ""); strings.Contains(list, "digest") {
		t.Errorf("red has %s", list)
	}
	// It is there for who has sent it.
	if have := blue.want(http.StatusOK, "POST", "/api/v1/teams/blue/artifacts"+artifacts.HavePath, string(artifacts.AppendKey(nil, there))); have != "\x01" {
		t.Errorf("blue is told %q", have)
	}
}
