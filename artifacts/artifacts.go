// Package artifacts moves trees of files by their content: what is sent, what is
// already there, the store, and reading it back.
package artifacts
