package trace

import (
	"strings"
	"testing"
)

// What is passed on as a parent is a whole one, whatever came.
func FuzzWithParent(f *testing.F) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, text := range []string{parent, "ff" + parent[2:], parent + "-more", strings.ToUpper(parent), "00-" + strings.Repeat("0", 32) + "-" + strings.Repeat("0", 16) + "-00", "", "\r\nX: y"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ctx := WithParent(t.Context(), text)
		if id, passed := ID(ctx), Parent(ctx); (id == "") != (passed == "") || passed != "" && (len(passed) != len(parent) || !strings.Contains(strings.ToLower(text), id)) {
			t.Errorf("%q is passed on as %q, of the trace %q", text, passed, id)
		}
	})
}
