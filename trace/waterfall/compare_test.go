package waterfall

import (
	"fmt"
	"strings"
	"testing"

	"midge/test/golden"
	"midge/trace"
	"midge/trace/otlp"
)

// comparable gives two traces of the same task.
func comparable() (before, after []otlp.Span) {
	a := &spans{resource: onServer}
	root := a.add(0, "execute", 0, 8)
	a.add(root, "hash src", 0, 0.2, trace.Input("src"), trace.Digest("sha256:aaaaaaaaaaaaaaaa"))
	a.add(root, "upload src", 0.2, 0.25)
	a.add(root, "fetch image", 0.3, 2.3, trace.ImageName("debian:12"), trace.ImageDigest("sha256:1111111111111111"))
	a.add(root, "fetch image", 0.3, 0.31, trace.ImageName("registry.example.org/team/tools:latest"), trace.ImageDigest("sha256:3333333333333333"))
	a.add(root, "run", 2.3, 8)
	for i := range 5 {
		a.add(root, "layer", 0.3+float64(i)*0.1, 0.4+float64(i)*0.1)
	}

	b := &spans{resource: onServer}
	root = b.add(0, "execute", 0, 21)
	b.add(root, "hash src", 0, 0.205, trace.Input("src"), trace.Digest("sha256:bbbbbbbbbbbbbbbb"))
	b.add(root, "hash lib", 0, 0.205, trace.Input("lib"), trace.Digest("sha256:cccccccccccccccc"))
	b.add(root, "upload src", 0.2, 0.9)
	b.add(root, "fetch image", 0.9, 0.95, trace.ImageName("debian:12"), trace.ImageDigest("sha256:1111111111111111"))
	b.add(root, "fetch image", 0.95, 0.96, trace.ImageName("registry.example.org/team/tools:latest"), trace.ImageDigest("sha256:2222222222222222"))
	b.add(root, "run", 1, 20)
	b.add(root, "layer", 0.9, 0.95)
	b.add(root, "download bin", 20, 21)
	return a.all, b.all
}

func TestCompare(t *testing.T) {
	before, after := comparable()
	for _, width := range []int{60, 80, 160} {
		for _, all := range []bool{false, true} {
			name := fmt.Sprintf("compare-%d.txt", width)
			if all {
				name = fmt.Sprintf("compare-%d-all.txt", width)
			}
			t.Run(name, func(t *testing.T) {
				var text strings.Builder
				if err := Compare(&text, before, after, Options{Width: width, All: all}); err != nil {
					t.Fatal(err)
				}
				golden.Compare(t, name, text.String())
				for line := range strings.Lines(text.String()) {
					if n := displayWidth(strings.TrimSuffix(line, "\n")); n > width {
						t.Errorf("a line takes %d columns: %s", n, line)
					}
				}
			})
		}
	}
}

func TestCompareWithNothing(t *testing.T) {
	before, _ := comparable()
	var text strings.Builder
	if err := Compare(&text, before, nil, Options{}); err != nil {
		t.Fatal(err)
	}
	if text.String() != "one of the traces has no spans\n" {
		t.Errorf("it says %q", text.String())
	}
}
