package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// listeners are where a server can be reached.
type listeners struct {
	tcp net.Listener // nil for none
	tls bool         // the TCP listener speaks TLS
	// certificate is that of the TCP listener, nil when it does not speak TLS.
	certificate *certificate
	socket      *socketListener // nil for none
}

// listen opens what the configuration names.
func listen(config Config) (l listeners, err error) {
	if config.Listen == "" && config.Socket == "" {
		return l, errors.New("there is nothing to listen on: give --listen, --socket or both")
	}
	encryption, own, err := config.tlsConfig()
	if err != nil {
		return l, err
	}
	if config.Listen != "" {
		if l.tcp, err = listenTCP(config.Listen); err != nil {
			return l, err
		}
	}
	if l.tcp != nil && encryption != nil {
		l.tcp, l.tls, l.certificate = tls.NewListener(l.tcp, encryption), true, own
	}
	if config.Socket != "" {
		if l.socket, err = listenSocket(config.Socket, config.SocketGroup); err != nil {
			return listeners{}, errors.Join(err, l.close())
		}
	}
	return l, nil
}

func listenTCP(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	var form *net.AddrError
	var name *net.DNSError
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("another program listens on %s: stop it, or choose another address with --listen", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("this machine does not have the address %s: choose one with --listen that it has, see ip address", address)
	case errors.As(err, &form), errors.As(err, &name):
		return nil, fmt.Errorf("%q is no address to listen on: write --listen as HOST:PORT, like 127.0.0.1:8080, or --listen= to listen on the socket alone", address)
	}
	return nil, fmt.Errorf("listen on %s: %w", address, err)
}

// all are those that there are.
func (l listeners) all() []net.Listener {
	var all []net.Listener
	if l.tcp != nil {
		all = append(all, l.tcp)
	}
	if l.socket != nil {
		all = append(all, l.socket)
	}
	return all
}

func (l listeners) close() error {
	var errs []error
	for _, listener := range l.all() {
		if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
