package main

import (
	"io"
	"net"
)

// forward accepts TCP connections at an address, and has each go on to another, until
// that fails.
func forward(address, to string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		go join(connection.(*net.TCPConn), to)
	}
}

// join has a connection go on to an address. What does not answer there ends it.
func join(from *net.TCPConn, to string) {
	defer from.Close()
	connection, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	onward := connection.(*net.TCPConn)
	defer onward.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		io.Copy(onward, from)
		onward.CloseWrite()
	}()
	io.Copy(from, onward)
	from.CloseWrite()
	<-sent
}
