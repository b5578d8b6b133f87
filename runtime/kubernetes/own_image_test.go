package kubernetes

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestImageOfServer(t *testing.T) {
	for _, test := range []struct {
		names   []string
		want    string
		wantErr string
	}{
		{[]string{"any"}, "any:1", ""},
		{[]string{"proxy", "midge-server"}, "midge-server:1", ""},
		{[]string{"proxy", "any"}, "", "agent-image"},
	} {
		own := new(corev1.Pod)
		for _, name := range test.names {
			own.Spec.Containers = append(own.Spec.Containers, corev1.Container{Name: name, Image: name + ":1"})
		}
		got, err := imageOfServer(own)
		if got != test.want || (err == nil) != (test.wantErr == "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
			t.Errorf("of %q it gave %q, %v", test.names, got, err)
		}
	}
}
