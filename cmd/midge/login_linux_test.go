package main

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"midge/client/clienttest"
	"midge/server"
	"midge/server/servertest"
)

func TestLoginAsks(t *testing.T) {
	server, dir := startServer(t)
	c := onTerminal(t, dir, nil, "-t", "ci", "login", "-c", server.URL, "-p", servertest.Password)
	c.await("user name: ")
	c.enter(servertest.User + "\n")
	if shown, exit := c.exits(); exit != 0 || !strings.Contains(shown, "target saved") {
		t.Errorf("exit status %d, shown is\n%s", exit, shown)
	}
	c = onTerminal(t, dir, nil, "-t", "ci", "login", "-u", servertest.User)
	c.await("password: ")
	c.enter(servertest.Password + "\n")
	shown, exit := c.exits()
	if exit != 0 || !strings.Contains(shown, "target saved") || strings.Contains(shown, servertest.Password) {
		t.Errorf("exit status %d, shown is\n%s", exit, shown)
	}
}

// An interrupt at the password leaves the terminal with its echo.
func TestInterruptAtThePassword(t *testing.T) {
	server, dir := startServer(t)
	c := onTerminal(t, dir, nil, "-t", "ci", "login", "-c", server.URL, "-u", "test")
	c.await("password: ")
	before := echoes(t, c.screen)
	c.enter(interrupt)
	shown, exit := c.exits()
	if exit != 1 || !strings.Contains(shown, "interrupted") {
		t.Errorf("exit status %d, shown is\n%s", exit, shown)
	}
	if before {
		t.Error("the password would have been shown")
	}
	if !echoes(t, c.screen) {
		t.Error("the terminal has no echo any more")
	}
}

// loginPage finds the page that a login wants to have opened.
var loginPage = regexp.MustCompile(`http://127\.0\.0\.1:\d+/login\?fly_port=(\d+)`)

// logInAt does what a person does with the login page in a browser, and gives the title
// of the last page.
func logInAt(t *testing.T, page string) string {
	t.Helper()
	parsed, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"username": {servertest.User}, "password": {servertest.Password}, "fly_port": {parsed.Query().Get("fly_port")}}
	request, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+parsed.Host+"/login", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Upgrade-Insecure-Requests", "1")
	return fetch(t, request)
}

// fetch sends a request as a browser does, and gives what it ends up with.
func fetch(t *testing.T, request *http.Request) string {
	t.Helper()
	browser := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := browser.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// A browser on this machine brings the token by itself.
func TestLoginByBrowser(t *testing.T) {
	server, dir := startServer(t)
	c := onTerminal(t, dir, nil, "-t", "ci", "login", "-c", server.URL)
	shown := c.await("(input hidden): ")
	if echoes(t, c.screen) {
		t.Error("a pasted token would be shown")
	}
	if page := logInAt(t, loginPage.FindString(shown)); !strings.Contains(page, "You are logged in") {
		t.Errorf("the browser ends at %s", page)
	}
	if shown, exit := c.exits(); exit != 0 || !strings.Contains(shown, "target saved") {
		t.Errorf("exit status %d, shown is\n%s", exit, shown)
	}
	if !echoes(t, c.screen) {
		t.Error("the terminal has no echo any more")
	}
	if who := midgeOutput(t, dir, nil, "-t", "ci", "userinfo"); who != "test  main/owner\n" {
		t.Errorf("the user is %q", who)
	}
	if targets := midgeOutput(t, dir, nil, "targets"); !strings.HasSuffix(targets, " UTC\n") {
		t.Errorf("when the login ends is not known: %q", targets)
	}
}

// Where no browser of this machine reaches the server, the token is pasted.
func TestLoginByPastedToken(t *testing.T) {
	server, dir := startServer(t)
	token, err := server.Login(t.Context(), servertest.User, servertest.Password)
	if err != nil {
		t.Fatal(err)
	}
	c := onTerminal(t, dir, nil, "-t", "ci", "login", "-c", server.URL)
	c.await("(input hidden): ")
	c.enter("the wrong clipboard\n")
	c.await("that is no token")
	c.enter("bearer " + token + "\n")
	if shown, exit := c.exits(); exit != 0 || !strings.Contains(shown, "target saved") || strings.Contains(shown, token) {
		t.Errorf("exit status %d, shown is\n%s", exit, shown)
	}
}

// A token of nobody is not saved, and an interrupt ends the waiting.
func TestLoginWithoutToken(t *testing.T) {
	server, dir := startServer(t)
	for keys, want := range map[string]string{"bearer 0123abcd\n": "does not accept", interrupt: "interrupted"} {
		c := onTerminal(t, dir, nil, "-t", "ci", "login", "-c", server.URL)
		c.await("(input hidden): ")
		c.enter(keys)
		if shown, exit := c.exits(); exit != 1 || !strings.Contains(shown, want) {
			t.Errorf("exit status %d, shown is\n%s", exit, shown)
		}
		if targets := midgeOutput(t, dir, nil, "targets"); targets != "" {
			t.Errorf("saved is %s", targets)
		}
	}
}

// The page is opened where that is asked for, and then no terminal is needed.
func TestLoginOpensBrowser(t *testing.T) {
	server, dir := startServer(t)
	opened := filepath.Join(dir, "opened")
	if err := syscall.Mkfifo(opened, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte("#!/bin/sh\necho \"$1\" >"+opened+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	command := midgeCommand(t, dir, []string{"PATH=" + dir + ":" + os.Getenv("PATH")}, "-t", "ci", "login", "-c", server.URL, "-b")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(opened)
	if err != nil {
		t.Fatal(err)
	}
	logInAt(t, strings.TrimSpace(string(page)))
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}

// A client certificate is shown at the login, and ever after.
func TestLoginWithClientCertificate(t *testing.T) {
	dir := t.TempDir()
	authority := clienttest.NewAuthority(t)
	in := func(name string) string { return filepath.Join(dir, name) }
	authority.Issue(in("server.pem"), in("server.key"), 2)
	authority.Issue(in("me.pem"), in("me.key"), 3)
	authority.WriteCertificate(in("ca.pem"))
	clienttest.NewAuthority(t).Issue(in("other.pem"), in("other.key"), 4)
	s, err := servertest.NewServer(servertest.Options{Configure: func(config *server.Config) {
		config.TLSCert, config.TLSKey, config.TLSClientCA = in("server.pem"), in("server.key"), in("ca.pem")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	url := strings.Replace(s.URL, "http:", "https:", 1)
	login := []string{"-t", "ci", "login", "-c", url, "-u", servertest.User, "-p", servertest.Password}
	for want, flags := range map[string][]string{
		"--ca-cert":          nil,
		"wants to see one":   {"--ca-cert", "ca.pem"},
		"does not accept it": {"--ca-cert", "ca.pem", "--client-cert", "other.pem", "--client-key", "other.key"},
		"--client-key":       {"--ca-cert", "ca.pem", "--client-cert", "me.pem"},
	} {
		output, err := midgeCommand(t, dir, nil, append(login, flags...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(output), want) {
			t.Errorf("with %q: %v, %s", flags, err, output)
		}
	}
	midgeOutput(t, dir, nil, append(login, "--ca-cert", "ca.pem", "--client-cert", "me.pem", "--client-key", "me.key")...)
	elsewhere := filepath.Join(dir, "src")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	command := midgeCommand(t, dir, nil, "-t", "ci", "userinfo")
	command.Dir = elsewhere
	if output, err := command.CombinedOutput(); err != nil || string(output) != "test  main/owner\n" {
		t.Errorf("afterwards: %v, %s", err, output)
	}
}

// echoes reports whether a terminal shows what is typed.
func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	settings, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return settings.Lflag&unix.ECHO != 0
}
