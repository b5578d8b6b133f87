package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// heedQuit has SIGQUIT, which Ctrl-\ sends, end the program at once, with the status that
// it has when nobody catches it; Go would print the stacks of all goroutines as well.
func (p *program) heedQuit() {
	quits := make(chan os.Signal, 1)
	signal.Notify(quits, syscall.SIGQUIT)
	p.quits = quits
	go func() {
		if _, quit := <-quits; quit {
			fmt.Fprintf(p.stderr, "%s%squit\n", p.stderr.overKey(), p.errorPrefix())
			os.Exit(exitQuit)
		}
	}()
}

// leaveQuit leaves SIGQUIT to somebody else, or ends heeding it.
func (p *program) leaveQuit() {
	if p.quits != nil {
		signal.Stop(p.quits)
		close(p.quits)
		p.quits = nil
	}
}
