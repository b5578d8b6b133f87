package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"midge/api"
)

// certificate is the server's, read again when its files change, so that it can be
// renewed under a server that runs.
type certificate struct {
	certPath, keyPath string
	log               *slog.Logger

	mu      sync.Mutex
	loaded  *tls.Certificate
	version [2]fileVersion // of the files that were loaded, or could not be
}

// fileVersion tells whether a file has changed.
type fileVersion struct {
	modified time.Time
	size     int64
}

// loadCertificate reads the certificate and its key, in PEM.
func loadCertificate(certPath, keyPath string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certPath: certPath, keyPath: keyPath, log: log}
	version, err := c.currentVersion()
	if err == nil {
		err = c.load(version)
	}
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	return c, nil
}

func (c *certificate) currentVersion() (version [2]fileVersion, err error) {
	for i, path := range []string{c.certPath, c.keyPath} {
		info, err := os.Stat(path)
		if err != nil {
			return version, err
		}
		version[i] = fileVersion{info.ModTime(), info.Size()}
	}
	return version, nil
}

func (c *certificate) load(version [2]fileVersion) error {
	c.version = version
	loaded, err := tls.LoadX509KeyPair(c.certPath, c.keyPath)
	if err != nil {
		return err
	}
	c.loaded = &loaded
	return nil
}

// get gives the certificate to a handshake. While the files are being replaced, or
// are no good, it is the one before.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version, err := c.currentVersion()
	if err == nil && version != c.version {
		if err := c.load(version); err != nil {
			c.log.Error("the new certificate cannot be used; the one before stays", "error", err)
		} else {
			c.log.Info("the certificate was read again", "expires", c.loaded.Leaf.NotAfter)
		}
	}
	return c.loaded, nil
}

// status tells how long the certificate is valid.
func (c *certificate) status(now time.Time) (partValues, error) {
	current, err := c.get(nil)
	if err != nil {
		return nil, err
	}
	left := current.Leaf.NotAfter.Sub(now)
	values := partValues{"expires_in_seconds": left.Seconds()}
	switch day := 24 * time.Hour; {
	case left <= 0:
		return values, &finding{api.VerdictCritical, "it has expired on " + current.Leaf.NotAfter.Format(time.DateOnly)}
	case left < 2*day:
		return values, &finding{api.VerdictCritical, fmt.Sprintf("it expires in %v", left.Round(time.Hour))}
	case left < 14*day:
		return values, &finding{api.VerdictWarning, fmt.Sprintf("it expires in %d days", left/day)}
	}
	return values, nil
}

// tlsConfig is how the TCP listener speaks TLS and the certificate it shows, or nil
// when it does not.
func (c Config) tlsConfig() (*tls.Config, *certificate, error) {
	switch {
	case c.TLSCert == "" && c.TLSKey == "" && c.TLSClientCA == "":
		return nil, nil, nil
	case c.TLSCert == "" || c.TLSKey == "":
		return nil, nil, fmt.Errorf("TLS takes both a certificate and its key: give --tls-cert and --tls-key")
	}
	own, err := loadCertificate(c.TLSCert, c.TLSKey, c.Log)
	if err != nil {
		return nil, nil, err
	}
	config := &tls.Config{
		GetCertificate: own.get,
		// Sessions are websockets, which begin as HTTP/1.1.
		NextProtos: []string{"http/1.1"},
	}
	if c.TLSClientCA != "" {
		pem, err := os.ReadFile(c.TLSClientCA)
		if err != nil {
			return nil, nil, fmt.Errorf("read the authorities of clients: %w", err)
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, nil, fmt.Errorf("read the authorities of clients: there is no certificate in %s", c.TLSClientCA)
		}
	}
	return config, own, nil
}
