package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"

	"github.com/muesli/cancelreader"

	"midge/client"
)

// askToken gets a token: for the user's name and password, or where they are not given
// from a browser that logs in. It asks for what is missing.
func (p *program) askToken(ctx context.Context, c *client.Client, flags loginFlags) (client.Token, error) {
	if flags.user == "" && flags.password == "" {
		return p.browserToken(ctx, c, flags)
	}
	var err error
	if flags.user == "" || flags.password == "" {
		if !p.canAsk() {
			if flags.user != "" {
				return client.Token{}, errors.New("there is no terminal to ask for the password; give it with -p, or use MIDGE_TOKEN instead of a login")
			}
			return client.Token{}, errNobodyToAsk
		}
	}
	if flags.user == "" {
		if flags.user, err = p.ask("user name: "); err != nil {
			return client.Token{}, err
		}
	}
	if flags.password == "" {
		if flags.password, err = p.askSecret("password: "); err != nil {
			return client.Token{}, err
		}
	}
	return c.Login(ctx, flags.user, flags.password)
}

// errNobodyToAsk tells that a login wants to know more, and there is nobody to ask.
var errNobodyToAsk = errors.New("there is no terminal to ask for the user name and the password; give them with -u and -p, or use MIDGE_TOKEN instead of a login")

// browserToken waits for the token of a login in a browser: one on this machine brings
// it, of one elsewhere the user pastes what its page shows.
func (p *program) browserToken(ctx context.Context, c *client.Client, flags loginFlags) (client.Token, error) {
	if !p.canAsk() && !flags.openBrowser {
		return client.Token{}, errNobodyToAsk
	}
	login, err := c.StartBrowserLogin()
	if err != nil {
		return client.Token{}, err
	}
	defer login.Close()
	fmt.Fprintf(p.progress(), "navigate to the following URL in your browser:\n\n  %s\n\n", login.URL)
	if flags.openBrowser {
		// Where that does not work the user opens the page that was named.
		_ = openBrowser(login.URL)
	}
	if !p.canAsk() {
		select {
		case token := <-login.Received():
			return token, nil
		case <-ctx.Done():
			return client.Token{}, context.Cause(ctx)
		}
	}
	return p.receivedOrPasted(login.Received())
}

// receivedOrPasted gives the token that is received, or pasted at the terminal before.
func (p *program) receivedOrPasted(received <-chan client.Token) (client.Token, error) {
	input, err := cancelreader.NewReader(p.stdin)
	if err != nil {
		return client.Token{}, fmt.Errorf("read from the terminal: %w", err)
	}
	defer input.Close()
	var token client.Token
	pasted := make(chan error, 1)
	go func() {
		pasted <- p.askSecretUntil(input, "or enter token manually (input hidden): ", func(text string) (err error) {
			token, err = client.ParseToken(text)
			return err
		})
	}()
	select {
	case err := <-pasted:
		return token, err
	case token := <-received:
		input.Cancel()
		<-pasted // which leaves the terminal as it was
		fmt.Fprintln(p.stderr)
		return token, nil
	}
}

// openBrowser opens a page in the user's browser, without waiting for it.
func openBrowser(url string) error {
	command := []string{"xdg-open", url}
	switch runtime.GOOS {
	case "darwin":
		command[0] = "open"
	case "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler", url}
	}
	opener := exec.Command(command[0], command[1:]...)
	if err := opener.Start(); err != nil {
		return err
	}
	return opener.Process.Release()
}
