package kubernetes

import (
	"strings"
	"testing"
)

func TestHostname(t *testing.T) {
	long := strings.Repeat("x", 80)
	for text, want := range map[string]string{"b1-task": "b1-task", "-a-": "a", "My_Host.local": "myhostlocal", long: long[:63], "ü": ""} {
		if got := hostname(text); got != want {
			t.Errorf("hostname(%q) is %q, want %q", text, got, want)
		}
	}
}
