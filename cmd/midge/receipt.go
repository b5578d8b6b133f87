package main

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"midge/artifacts/transfer"
)

// receiptLine says on one line what was sent of a directory: "sent", or "to send".
func receiptLine(name string, receipt transfer.Receipt, done string) string {
	parts := []string{fmt.Sprintf("%s: %s, %s", name, files(receipt.Files), size(receipt.Bytes))}
	switch {
	case receipt.SentFiles > 0 && receipt.SentCompressed > 0:
		parts = append(parts, fmt.Sprintf("%s changed, %s %s (%s compressed)",
			files(receipt.SentFiles), size(receipt.SentBytes), done, size(receipt.SentCompressed)))
	case receipt.SentFiles > 0:
		parts = append(parts, fmt.Sprintf("%s changed, %s %s", files(receipt.SentFiles), size(receipt.SentBytes), done))
	case receipt.SentCompressed > 0:
		parts = append(parts, fmt.Sprintf("no file's content changed, %s %s", size(receipt.SentCompressed), done))
	default:
		parts = append(parts, "nothing "+done)
	}
	var ignored []string
	for i, by := range receipt.IgnoredBy {
		word := ""
		if i == 0 {
			word = " ignored"
		}
		ignored = append(ignored, fmt.Sprintf("%d%s by %s", by.Paths, word, by.Source))
	}
	if ignored != nil {
		parts = append(parts, strings.Join(ignored, ", "))
	}
	return strings.Join(parts, " · ")
}

// fetchLine says on one line what a directory received of an artifact.
func fetchLine(name, dir string, receipt transfer.FetchReceipt) string {
	if receipt.Digest == "" {
		return fmt.Sprintf("%s: %s received into %s", name, size(receipt.FetchedCompressed), dir)
	}
	received := "nothing received"
	if receipt.FetchedFiles > 0 {
		received = fmt.Sprintf("%s changed, %s received (%s compressed)",
			files(receipt.FetchedFiles), size(receipt.FetchedBytes), size(receipt.FetchedCompressed))
	}
	line := fmt.Sprintf("%s: %s, %s · %s into %s", name, files(receipt.Files), size(receipt.Bytes), received, dir)
	if n := len(receipt.Deleted); n > 0 {
		line += fmt.Sprintf(", %d deleted", n)
	}
	return line
}

// files shows a number of files to a person.
func files(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// size shows a number of bytes to a person.
func size(bytes int64) string { return humanize.Bytes(uint64(bytes)) }
