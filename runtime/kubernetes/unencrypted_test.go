package kubernetes

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A kubeconfig that has http for https is told of as that, and what to write.
func TestUnencryptedKubeconfig(t *testing.T) {
	api := httptest.NewUnstartedServer(http.NotFoundHandler())
	api.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	api.StartTLS()
	t.Cleanup(api.Close)
	host := strings.TrimPrefix(api.URL, "https://")
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("{clusters: [{name: c, cluster: {server: 'http://%s'}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}", host)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(t.Context(), Options{Name: "cluster", StateDir: t.TempDir(), Kubeconfig: kubeconfig, AgentImage: "midge:1"})
	want := "list the pods of namespace default: the API server wants https, and the kubeconfig has its address with http: write https:// there"
	if err == nil || err.Error() != want {
		t.Errorf("it gave %v, want %s", err, want)
	}
}
