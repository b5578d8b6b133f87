package main

import (
	"bufio"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"midge/terminal"
)

// table is an answer in columns.
type table struct {
	headers []string
	rows    [][]cell
	wraps   bool // the last column is of words, which may take several lines
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

// only gives the columns of some headers, in that order.
func (t table) only(headers ...string) table {
	picked := table{headers: headers, wraps: t.wraps}
	for _, row := range t.rows {
		cells := make([]cell, len(headers))
		for i, header := range headers {
			cells[i] = row[slices.Index(t.headers, header)]
		}
		picked.add(cells...)
	}
	return picked
}

// leastWords is how wide a column of words is at least.
const leastWords = 8

// fitted gives the table for lines of width characters: its last column goes on in the
// next line when it may, columns from the last on are left out while they do not all have
// room, and what the first has no room for is cut off.
func (t table) fitted(width int) table {
	clean(t.rows)
	widths := widths(t.withHeaders())
	for n := len(t.headers); n > 1; n-- {
		room := width // for the last of n columns
		for _, w := range widths[:n-1] {
			room -= w + 2
		}
		if widths[n-1] <= room {
			return t.only(t.headers[:n]...)
		}
		if n == len(t.headers) && t.wraps && room >= leastWords {
			return t.wrapped(room)
		}
	}
	return t.only(t.headers[0]).cut(width)
}

// clean makes each cell a line of text and nothing else.
func clean(rows [][]cell) {
	for _, row := range rows {
		for i := range row {
			row[i].text = terminal.Line(row[i].text)
		}
	}
}

// widths are how wide the columns of rows are.
func widths(rows [][]cell) []int {
	var widths []int
	for _, row := range rows {
		for len(widths) < len(row) {
			widths = append(widths, 0)
		}
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell.text))
		}
	}
	return widths
}

// wrapped gives the table with the words of the last column in lines of width characters.
func (t table) wrapped(width int) table {
	lines := table{headers: t.headers, wraps: true}
	last := len(t.headers) - 1
	for _, row := range t.rows {
		style, before := row[last].style, row[:last]
		for _, line := range wrap(row[last].text, width) {
			for part := range slices.Chunk([]rune(line), width) { // of a word without an end
				lines.add(slices.Concat(before, []cell{{string(part), style}})...)
				before = make([]cell, last)
			}
		}
	}
	return lines
}

// cut gives the table of one column with no more than width characters in each line.
func (t table) cut(width int) table {
	for _, row := range t.rows {
		row[0].text = cut(row[0].text, width)
	}
	return t
}

// cut gives the beginning of a text, of no more than width characters.
func cut(text string, width int) string {
	characters := []rune(text)
	return string(characters[:min(len(characters), width)])
}

// withHeaders gives the rows with the headers before them.
func (t table) withHeaders() [][]cell {
	headers := make([]cell, len(t.headers))
	for i, header := range t.headers {
		headers[i] = cell{header, bold}
	}
	return append([][]cell{headers}, t.rows...)
}

// print writes the table to stdout: headers for people, and for those who ask.
func (p *program) print(t table) error {
	rows := t.rows
	if p.stdout.terminal || p.flags.tableHeaders {
		rows = t.withHeaders()
	}
	clean(rows)
	widths := widths(rows)
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
