package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a config.
type Problem struct {
	// File is the name the file was parsed under; "" when the config came over the wire.
	File string
	// Line and Column count from 1; both are 0 when the config came over the wire.
	Line, Column int
	// Field is the path of what is wrong, as in inputs[1].path; "" is the whole.
	Field string
	// Message is a sentence without its full stop.
	Message string
}

// String gives the problem on one line: file, line, column and message.
func (p Problem) String() string {
	switch {
	case p.Line > 0:
		return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	case p.File != "":
		return p.File + ": " + p.Message
	case p.Field != "":
		return p.Field + ": " + p.Message
	}
	return p.Message
}

// ConfigError has everything that is wrong with a config, in the order of the file.
type ConfigError struct {
	Problems []Problem
}

// Error gives the problems, one per line.
func (e *ConfigError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, problem := range e.Problems {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// position is a place in a file; the zero position is of what came over the wire.
type position struct{ line, column int }

// problems collects what is wrong with one file.
type problems struct {
	file string
	list []Problem
}

func (p *problems) add(at position, field, format string, args ...any) {
	p.list = append(p.list, Problem{
		File: p.file, Line: at.line, Column: at.column, Field: field,
		Message: lineBreaks.Replace(fmt.Sprintf(format, args...)),
	})
}

// lineBreaks keeps a message on one line, whatever of the file it quotes.
var lineBreaks = strings.NewReplacer("\n", " ", "\r", " ")

// err gives a *ConfigError of all problems, or nil when there is none.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &ConfigError{Problems: p.list}
}

// Nearest gives the name of known that is most like name, "" when none is like it.
func Nearest(name string, known []string) string {
	best, distance := "", max(2, len(name)/3)+1
	for _, candidate := range known {
		if d := editDistance(strings.ToLower(name), candidate); d < distance && d < len(candidate) {
			best, distance = candidate, d
		}
	}
	return best
}

// editDistance counts the characters to insert, delete, replace or swap with
// their neighbour that make b of a.
func editDistance(a, b string) int {
	// A name that long is like no field, and the table would be large.
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return max(len(a), len(b))
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
