package usage

import (
	"strconv"
	"time"
)

// formatBytes writes bytes as task files do: a MB is 1024 kB.
func formatBytes(n uint64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	// What would be rounded to 1024 belongs to the next unit.
	if value >= 1023.5 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return formatNumber(value) + " " + units[unit]
}

// formatNumber gives one digit after the point below 10, unless that is 0.
func formatNumber(value float64) string {
	if value < 9.95 {
		tenths := strconv.FormatFloat(value, 'f', 1, 64)
		if tenths[len(tenths)-2:] != ".0" {
			return tenths
		}
	}
	return strconv.FormatFloat(value, 'f', 0, 64)
}

// formatDuration gives seconds with one digit after the point, and what is shorter in ms.
func formatDuration(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 0, 64) + " ms"
	case d < 100*time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	}
	return d.Round(time.Second).String()
}

func formatPercent(share float64) string {
	return strconv.FormatFloat(share*100, 'f', 0, 64) + "%"
}
