package main

import (
	"fmt"
	"os"
	"path/filepath"

	"midge/execute"
	"midge/terminal"
)

// showEstimate prints what would be sent of an input, and what would not and why.
func (p *program) showEstimate(estimated execute.Estimated) {
	receipt := estimated.Receipt
	fmt.Fprintln(p.stdout, receiptLine(estimated.Input, receipt, "to send"))
	for _, file := range receipt.Largest {
		fmt.Fprintf(p.stdout, "  %8s  %s\n", size(file.Bytes), terminal.Line(file.Path))
	}
	for _, ignored := range receipt.Ignored {
		fmt.Fprintf(p.stdout, "  %8s  %s  %s\n", "ignored", terminal.Line(ignored.Path), p.stdout.paint(faint, terminal.Line(ignored.Rule)))
	}
}

// cacheDir is where midge remembers what it can find anew, "" when nowhere.
func cacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "midge")
}
