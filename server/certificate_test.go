package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"midge/client/clienttest"
)

// clientOf trusts an authority, and shows a certificate if one is given.
func clientOf(a *clienttest.Authority, own ...tls.Certificate) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate)
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: own},
	}}
}

func TestTLS(t *testing.T) {
	dir := shortDir(t)
	a := clienttest.NewAuthority(t)
	config := testConfig(dir)
	config.TLSCert, config.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.Issue(config.TLSCert, config.TLSKey, 7)
	s := mustServe(t, config)
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Errorf("the URL is %s", s.URL())
	}
	serial := func() int64 {
		t.Helper()
		response, err := clientOf(a).Get(s.URL() + "/api/v1/info")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK || response.TLS == nil {
			t.Fatalf("got %s", response.Status)
		}
		return response.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 7 {
		t.Errorf("got certificate %d, want 7", got)
	}
	a.Issue(config.TLSCert, config.TLSKey, 8)
	// A renewal within the clock's resolution would not be seen; none is.
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(config.TLSCert, later, later); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 8 {
		t.Errorf("got certificate %d after it was renewed, want 8", got)
	}
	if err := os.WriteFile(config.TLSCert, []byte("half of"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 8 {
		t.Errorf("got certificate %d while the file is damaged, want 8", got)
	}
	if err := os.Remove(config.TLSCert); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 8 {
		t.Errorf("got certificate %d while the file is away, want 8", got)
	}
}

func TestClientCertificates(t *testing.T) {
	dir := shortDir(t)
	a := clienttest.NewAuthority(t)
	config := testConfig(dir)
	config.TLSCert, config.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	config.TLSClientCA = filepath.Join(dir, "ca.pem")
	a.Issue(config.TLSCert, config.TLSKey, 7)
	a.WriteCertificate(config.TLSClientCA)
	s := mustServe(t, config)
	if response, err := clientOf(a).Get(s.URL() + "/api/v1/info"); err == nil {
		response.Body.Close()
		t.Error("a client without a certificate is let in")
	}
	own, err := tls.LoadX509KeyPair(config.TLSCert, config.TLSKey)
	if err != nil {
		t.Fatal(err)
	}
	response, err := clientOf(a, own).Get(s.URL() + "/api/v1/info")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
}

// mustServe makes a server that answers until the end of the test.
func mustServe(t *testing.T, config Config) *Server {
	t.Helper()
	s, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(s.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestBadTLS(t *testing.T) {
	dir := shortDir(t)
	a := clienttest.NewAuthority(t)
	cert, key, otherKey, text := filepath.Join(dir, "c"), filepath.Join(dir, "k"), filepath.Join(dir, "o"), filepath.Join(dir, "t")
	a.Issue(cert, key, 1)
	a.Issue(filepath.Join(dir, "oc"), otherKey, 2)
	if err := os.WriteFile(text, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		cert, key, ca string
		want          string
	}{
		"no key":            {cert, "", "", "give --tls-cert and --tls-key"},
		"no certificate":    {"", key, "", "give --tls-cert and --tls-key"},
		"authority alone":   {"", "", cert, "give --tls-cert and --tls-key"},
		"missing file":      {cert, filepath.Join(dir, "none"), "", "no such file"},
		"not PEM":           {text, key, "", "read the certificate"},
		"another's key":     {cert, otherKey, "", "private key does not match"},
		"missing authority": {cert, key, filepath.Join(dir, "none"), "no such file"},
		"no authority":      {cert, key, text, "there is no certificate in"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			config := testConfig(dir)
			config.TLSCert, config.TLSKey, config.TLSClientCA = test.cert, test.key, test.ca
			wantFailure(t, dir, config, test.want)
		})
	}
}
