package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"midge/client"
)

// completionAge is how long what a server had is remembered.
const completionAge = 5 * time.Second

// completionCache remembers what a server had of one kind, for the next key. It is a
// file of the user's own, which need not be there, and nothing depends on it.
type completionCache struct {
	path string // "" for nowhere
}

// remembered is the content of the file.
type remembered struct {
	At      time.Time          `json:"at"`
	Choices []completionChoice `json:"choices"`
}

// newCompletionCache gives what is remembered of a kind by who has these options.
func newCompletionCache(of client.Options, kind string) completionCache {
	dir := cacheDir()
	if dir == "" {
		return completionCache{}
	}
	key := sha256.Sum256([]byte(strings.Join([]string{of.URL, of.Team, of.Token, kind}, "\x00")))
	return completionCache{filepath.Join(dir, "completions", hex.EncodeToString(key[:])+".json")}
}

// read gives what is remembered, if that is not too old.
func (c completionCache) read(now time.Time) ([]completionChoice, bool) {
	content, err := os.ReadFile(c.path)
	if err != nil {
		return nil, false
	}
	var found remembered
	if err := json.Unmarshal(content, &found); err != nil {
		return nil, false
	}
	since := now.Sub(found.At)
	if since < 0 || since >= completionAge {
		return nil, false
	}
	return found.Choices, true
}

// write remembers choices. When it cannot, they are asked for again.
func (c completionCache) write(choices []completionChoice, now time.Time) {
	content, err := json.Marshal(remembered{now, choices})
	if c.path == "" || err != nil || os.MkdirAll(filepath.Dir(c.path), 0o700) != nil {
		return
	}
	c.forgetOld(now)
	beside, err := os.CreateTemp(filepath.Dir(c.path), "new-*")
	if err != nil {
		return
	}
	_, err = beside.Write(content)
	if err = errors.Join(err, beside.Close()); err == nil {
		err = os.Rename(beside.Name(), c.path)
	}
	if err != nil {
		os.Remove(beside.Name())
	}
}

// forgetOld removes what is too old to be read, so that the directory stays small.
func (c completionCache) forgetOld(now time.Time) {
	entries, _ := os.ReadDir(filepath.Dir(c.path))
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && now.Sub(info.ModTime()) > completionAge {
			os.Remove(filepath.Join(filepath.Dir(c.path), entry.Name()))
		}
	}
}
