package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.certificate, a.key = template, newKey(t)
	a.certificate = parse(t, a.sign(template, a.key))
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// issue writes a certificate with that serial number, and its key.
func (a *authority) issue(certPath, keyPath string, serial int64) {
	a.t.Helper()
	key := newKey(a.t)
	der := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "midge"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, key)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	writePEM(a.t, certPath, "CERTIFICATE", der)
	writePEM(a.t, keyPath, "PRIVATE KEY", keyDER)
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// client trusts the authority, and shows a certificate if one is given.
func (a *authority) client(own ...tls.Certificate) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: own},
	}}
}

func TestTLS(t *testing.T) {
	dir := shortDir(t)
	a := newAuthority(t)
	config := testConfig(dir)
	config.TLSCert, config.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.issue(config.TLSCert, config.TLSKey, 7)
	s := mustServe(t, config)
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Errorf("the URL is %s", s.URL())
	}
	serial := func() int64 {
		t.Helper()
		response, err := a.client().Get(s.URL() + "/api/v1/info")
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
	a.issue(config.TLSCert, config.TLSKey, 8)
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
	a := newAuthority(t)
	config := testConfig(dir)
	config.TLSCert, config.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	config.TLSClientCA = filepath.Join(dir, "ca.pem")
	a.issue(config.TLSCert, config.TLSKey, 7)
	writePEM(t, config.TLSClientCA, "CERTIFICATE", a.certificate.Raw)
	s := mustServe(t, config)
	if response, err := a.client().Get(s.URL() + "/api/v1/info"); err == nil {
		response.Body.Close()
		t.Error("a client without a certificate is let in")
	}
	own, err := tls.LoadX509KeyPair(config.TLSCert, config.TLSKey)
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.client(own).Get(s.URL() + "/api/v1/info")
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
	a := newAuthority(t)
	cert, key, otherKey, text := filepath.Join(dir, "c"), filepath.Join(dir, "k"), filepath.Join(dir, "o"), filepath.Join(dir, "t")
	a.issue(cert, key, 1)
	a.issue(filepath.Join(dir, "oc"), otherKey, 2)
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
