package kubernetes

import "testing"

// An image that is none is refused when the server starts, and not when the first task does.
func TestImagesOfOptions(t *testing.T) {
	for _, image := range []string{"midge", "midge:1", "localhost:5000/a/midge", "registry.example.com/midge:1",
		"midge@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"} {
		options := Options{Kubeconfig: "kubeconfig", AgentImage: image, DefaultImage: image}
		if err := options.complete(); err != nil {
			t.Errorf("%s is refused: %v", image, err)
		}
	}
	for _, image := range []string{"https://registry.example.com/midge:1", "Midge:1", "midge:1 ", "midge:", "midge@sha256:01"} {
		options := Options{Kubeconfig: "kubeconfig", AgentImage: image}
		want := `agent-image is "` + image + `", which is no image: write it as registry.example.com/midge:1`
		if err := options.complete(); err == nil || err.Error() != want {
			t.Errorf("it gave %v, want %s", err, want)
		}
		options = Options{Kubeconfig: "kubeconfig", AgentImage: "midge:1", DefaultImage: image}
		want = `default-image is "` + image + `", which is no image: write it as registry.example.com/midge:1`
		if err := options.complete(); err == nil || err.Error() != want {
			t.Errorf("it gave %v, want %s", err, want)
		}
	}
}
