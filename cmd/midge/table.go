package main

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"

	"midge/terminal"
)

// table is an answer in columns.
type table struct {
	headers []string
	rows    [][]cell
}

// cell is one field of a table.
type cell struct {
	text  string
	style style
}

// orNone is a cell of a text, or of the word that stands for none.
func orNone(text string) cell {
	if text == "" {
		return cell{"none", faint}
	}
	return cell{text: text}
}

// add adds a row.
func (t *table) add(row ...cell) { t.rows = append(t.rows, row) }

// print writes the table to stdout: headers for people, and for those who ask.
func (p *program) print(t table) error {
	rows := t.rows
	if p.stdout.terminal || p.flags.tableHeaders {
		headers := make([]cell, len(t.headers))
		for i, header := range t.headers {
			headers[i] = cell{header, bold}
		}
		rows = append([][]cell{headers}, rows...)
	}
	widths := make([]int, len(t.headers))
	for _, row := range rows {
		for i := range row {
			row[i].text = terminal.Line(row[i].text)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	w := bufio.NewWriter(p.stdout)
	for _, row := range rows {
		for i, cell := range row {
			io.WriteString(w, p.stdout.paint(cell.style, cell.text))
			if i+1 < len(row) {
				io.WriteString(w, strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell.text)+2))
			}
		}
		io.WriteString(w, "\n")
	}
	return w.Flush()
}

// printJSON writes a value to stdout, for programs.
func (p *program) printJSON(value any) error {
	encoder := json.NewEncoder(terminal.JSON(p.stdout))
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// answer prints a list: as JSON when that is asked for, else as the table.
func answer[T any](p *program, list []T, asTable func([]T) table) error {
	if !p.flags.json {
		return p.print(asTable(list))
	}
	if list == nil {
		list = []T{} // an empty array and not null
	}
	return p.printJSON(list)
}
