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
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("another program listens on %s: stop it, or choose another address with --listen", address)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return listener, nil
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
