package waterfall

// style is the characters and colours of a picture.
type style struct {
	branch, last, through, space string // the guides of a tree, three columns each
	ellipsis, dot, mark, failure string
	sum                          string
	tick                         string
	full                         rune   // a cell of a bar
	eighths                      []rune // the last cell of a bar, by how much of it is taken
	stalled                      rune   // a cell in which the span waited
	idle                         rune   // a cell of a gap

	red, bold, dim, plain string
}

func styleOf(options Options) style {
	s := style{
		branch: "|- ", last: "`- ", through: "|  ", space: "   ",
		ellipsis: "...", dot: ", ", mark: "*", failure: "!", sum: "sum ", tick: "|",
		full: '#', eighths: []rune{'#'}, stalled: '~', idle: '.',
	}
	if options.UTF8 {
		s = style{
			branch: "├─ ", last: "└─ ", through: "│  ", space: "   ",
			ellipsis: "…", dot: " · ", mark: "•", failure: "✗", sum: "Σ ", tick: "╷",
			full: '█', eighths: []rune("▏▎▍▌▋▊▉█"), stalled: '▒', idle: '·',
		}
	}
	if options.Color {
		s.red, s.bold, s.dim, s.plain = "\x1b[31m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
	}
	return s
}
