package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"time"
)

const (
	dialTimeout     = 10 * time.Second
	maxHeaderBytes  = 256 << 10
	maxIdlePerHost  = 16
	idleConnTimeout = 90 * time.Second
)

// TLS is how the server of an https URL is trusted, and how the client shows who it is.
type TLS struct {
	// CACert is a PEM bundle of authorities to trust instead of the system's; "" for those.
	CACert string
	// Cert and Key are the client's own certificate, in PEM; "" for none.
	Cert, Key string
	// Insecure trusts any server.
	Insecure bool
}

// config gives what crypto/tls wants to know.
func (t TLS) config() (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: t.Insecure, MinVersion: tls.VersionTLS12}
	if t.CACert != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(t.CACert)) {
			return nil, errors.New("the CA certificate holds no certificate in PEM; give the file of one with --ca-cert")
		}
	}
	if t.Cert != "" || t.Key != "" {
		pair, err := tls.X509KeyPair([]byte(t.Cert), []byte(t.Key))
		if err != nil {
			return nil, &ClientCertificateError{Err: err}
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// newTransport gives the transport to a unix socket, or to TCP when socket is "".
func newTransport(socket string, trust TLS) (*http.Transport, error) {
	config, err := trust.config()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{
		Timeout: dialTimeout,
		// A peer that vanished without a word is noticed within half a minute.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleConnTimeout,
		// Archives are compressed already, and are told apart by their first bytes.
		DisableCompression: true,
	}
	if socket != "" {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
	}
	return transport, nil
}
