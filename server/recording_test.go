package server_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// exchange is a request that fly sent and what a Concourse answered.
type exchange struct {
	request  message
	response message
}

// message is one side of an exchange.
type message struct {
	first  string // GET /path, or 200 OK
	header map[string]string
	body   string
}

// recorded gives the exchanges of a section of a file in testdata/wire.
func recorded(t *testing.T, file, section string) []exchange {
	t.Helper()
	var exchanges []exchange
	for _, text := range strings.Split(sectionOf(t, file, section), "\n>>> ")[1:] {
		request, response, found := strings.Cut(text, "\n<<< ")
		if !found {
			t.Fatalf("%s, %s: no response to %q", file, section, request)
		}
		exchanges = append(exchanges, exchange{parseMessage(request), parseMessage(response)})
	}
	return exchanges
}

// sectionOf gives the text of a section of a file in testdata/wire.
func sectionOf(t *testing.T, file, section string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "wire", file))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "\n### "+section+"\n")
	if !found {
		t.Fatalf("%s has no section %q", file, section)
	}
	rest, _, _ = strings.Cut(rest, "\n### ")
	return rest
}

func parseMessage(text string) message {
	head, body, _ := strings.Cut(text, "\n\n")
	first, lines, _ := strings.Cut(head, "\n")
	m := message{first: strings.TrimSpace(first), header: map[string]string{}, body: strings.TrimSpace(body)}
	for line := range strings.SplitSeq(lines, "\n") {
		if name, value, found := strings.Cut(line, ": "); found {
			m.header[name] = value
		}
	}
	return m
}

// methodAndPath splits the first line of a request.
func (m message) methodAndPath() (string, string) {
	method, path, _ := strings.Cut(m.first, " ")
	return method, path
}

// status is the code in the first line of a response.
func (m message) status(t *testing.T) int {
	t.Helper()
	code, err := strconv.Atoi(strings.Fields(m.first)[0])
	if err != nil {
		t.Fatal(err)
	}
	return code
}
