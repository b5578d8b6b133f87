package waterfall

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// displayWidth gives how many columns text takes.
func displayWidth(text string) int {
	columns := 0
	for _, r := range text {
		columns += runeWidth(r)
	}
	return columns
}

func runeWidth(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut gives text that takes at most so many columns, with an ellipsis where some is left out.
func cut(text string, columns int, ellipsis string) string {
	if displayWidth(text) <= columns {
		return text
	}
	columns -= displayWidth(ellipsis)
	var kept strings.Builder
	for _, r := range text {
		if columns -= runeWidth(r); columns < 0 {
			break
		}
		kept.WriteRune(r)
	}
	return kept.String() + ellipsis
}

// pad gives text that takes exactly so many columns.
func pad(text string, columns int, ellipsis string) string {
	text = cut(text, columns, ellipsis)
	return text + strings.Repeat(" ", max(0, columns-displayWidth(text)))
}

// toASCII leaves nothing but ASCII in text.
func toASCII(text string) string {
	return strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII {
			return '?'
		}
		return r
	}, text)
}

// formatShort gives a duration in at most seven columns.
func formatShort(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + "ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + "s"
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// formatWords gives a duration as a sentence has it.
func formatWords(d time.Duration) string {
	short := formatShort(d)
	if d >= time.Minute {
		return short
	}
	number := strings.TrimRight(short, "ms")
	return number + " " + short[len(number):]
}

// formatBytes gives bytes in multiples of 1024.
func formatBytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	for value >= 1023.5 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	digits := 0
	if value < 9.95 {
		digits = 1
	}
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', digits, 64), ".0") + " " + units[unit]
}
