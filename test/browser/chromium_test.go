package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// chromium is a browser without a window, which a test tells what to do over its
// DevTools protocol. It has one page.
type chromium struct {
	t       *testing.T
	ctx     context.Context
	socket  *websocket.Conn
	session string // of the page
	last    int    // id of a command
}

// startChromium starts a browser that ends with the test.
func startChromium(t *testing.T) *chromium {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	command := exec.Command("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--no-proxy-server", "--user-data-dir="+t.TempDir(),
		"--remote-debugging-port=0", "about:blank")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // It has processes of its own.
		command.Wait()
	})
	lines := bufio.NewScanner(stderr)
	var said strings.Builder
	address := ""
	for address == "" && lines.Scan() {
		fmt.Fprintln(&said, lines.Text())
		_, address, _ = strings.Cut(lines.Text(), "DevTools listening on ")
	}
	if address == "" {
		t.Fatalf("chromium does not listen:\n%s", &said)
	}
	go func() {
		for lines.Scan() { // or it would wait for somebody to read it
		}
	}()
	c := &chromium{t: t, ctx: ctx}
	if c.socket, _, err = websocket.Dial(ctx, address, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.socket.CloseNow() })
	c.socket.SetReadLimit(64 << 20)
	var target struct{ TargetID string }
	c.do("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	c.do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	c.session = attached.SessionID
	c.do("Page.enable", nil, nil)
	return c
}

// reply is what the browser says: the answer to a command, or an event.
type reply struct {
	ID     int
	Method string
	Error  *struct{ Message string }
	Result json.RawMessage
	Params json.RawMessage
}

// read gives the next thing that the browser says.
func (c *chromium) read() reply {
	c.t.Helper()
	_, text, err := c.socket.Read(c.ctx)
	if err != nil {
		c.t.Fatalf("chromium says no more: %v", err)
	}
	var r reply
	if err := json.Unmarshal(text, &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// do has the browser do something, and decodes its answer into result, which may be nil.
func (c *chromium) do(method string, params map[string]any, result any) {
	c.t.Helper()
	if refusal := c.try(method, params, result); refusal != "" {
		c.t.Fatalf("%s: %s", method, refusal)
	}
}

// try is do, and gives what the browser has against it, "" for nothing.
func (c *chromium) try(method string, params map[string]any, result any) (refusal string) {
	c.t.Helper()
	c.last++
	command := map[string]any{"id": c.last, "method": method, "params": params}
	if params == nil {
		command["params"] = map[string]any{}
	}
	if c.session != "" {
		command["sessionId"] = c.session
	}
	text, err := json.Marshal(command)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.socket.Write(c.ctx, websocket.MessageText, text); err != nil {
		c.t.Fatal(err)
	}
	for {
		r := c.read()
		if r.ID != c.last {
			continue
		}
		if r.Error != nil {
			return r.Error.Message
		}
		if result != nil {
			if err := json.Unmarshal(r.Result, result); err != nil {
				c.t.Fatal(err)
			}
		}
		return ""
	}
}

// evaluate gives the value of an expression of JavaScript, once it is settled. In a page
// that is being left it is nil.
func (c *chromium) evaluate(expression string) any {
	c.t.Helper()
	var result struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	refusal := c.try("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &result)
	switch {
	case strings.Contains(refusal, "navigated"), strings.Contains(refusal, "context"):
		return nil
	case refusal != "":
		c.t.Fatalf("%s: %s", expression, refusal)
	}
	if failed := result.ExceptionDetails; failed != nil {
		c.t.Fatalf("%s: %s %s", expression, failed.Text, failed.Exception.Description)
	}
	return result.Result.Value
}

// load does something that leads to another page, and waits until that is loaded.
func (c *chromium) load(lead func()) {
	c.t.Helper()
	before := c.evaluate("performance.timeOrigin")
	lead()
	for {
		now := c.evaluate("performance.timeOrigin")
		if now != nil && now != before && c.evaluate("document.readyState") == "complete" {
			return
		}
		c.pause()
	}
}

// pause waits before the page is looked at again, whose scripts may be switched off.
func (c *chromium) pause() {
	select {
	case <-c.ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

// open opens a page.
func (c *chromium) open(url string) {
	c.t.Helper()
	c.load(func() { c.do("Page.navigate", map[string]any{"url": url}, nil) })
}

// await waits until the page shows text in an element.
func (c *chromium) await(selector, text string) {
	c.t.Helper()
	for {
		shown, _ := c.evaluate(fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector)).(string)
		if strings.Contains(shown, text) {
			return
		}
		if c.ctx.Err() != nil {
			c.t.Fatalf("%s shows %q, and not %q", selector, shown, text)
		}
		c.pause()
	}
}

// screenshot leaves a picture of the page where MIDGE_SCREENSHOTS says, for people.
func (c *chromium) screenshot(name string) {
	c.t.Helper()
	dir := os.Getenv("MIDGE_SCREENSHOTS")
	if dir == "" {
		return
	}
	var picture struct{ Data []byte }
	c.do("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true}, &picture)
	if err := os.WriteFile(dir+"/"+name+".png", picture.Data, 0o644); err != nil {
		c.t.Fatal(err)
	}
}
