// Command bench measures midge against the budgets of its design, beside tools
// that a user would otherwise pick, and prints ratios of one run on one machine.
//
// It starts the real server (bin/midge-server) on a temporary data directory and
// drives the real CLI. It needs root, runc, rsync and busybox; make bench has them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"text/tabwriter"
)

// A benchmark measures one row, or a few that share their set-up.
type benchmark struct {
	name string
	run  func(ctx context.Context, b *bench) error
}

var benchmarks = []benchmark{
	{"start", benchStart},
	{"completion", benchCompletion},
	{"execute", benchExecute},
	{"log", benchLog},
	{"load", benchLoad},
	{"others", benchOthers},
	{"trace", benchTrace},
	{"sampling", benchSampling},
	{"hijack", benchHijack},
	{"reconnect", benchReconnect},
	{"container", benchContainer},
	{"transfer", benchTransfer},
	{"lists", benchLists}, // last, as the builds it adds are in the way of others
}

func main() {
	pattern := flag.String("run", ".", "measure only the benchmarks whose name matches this `regexp`")
	binaries := flag.String("bin", "bin", "where midge, midge-server and midge-agent are")
	cluster := flag.Bool("kubernetes", false, "measure a worker that is a cluster, and that alone")
	atOnce := flag.Int("at-once", 200, "with -kubernetes, how many executes there are at once")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if *cluster {
		err = runKubernetes(ctx, *binaries, *atOnce)
	} else {
		err = run(ctx, *pattern, *binaries)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, pattern, binaries string) error {
	selected, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, binaries, allAtOnce...)
	if err != nil {
		return err
	}
	defer b.close()
	for _, benchmark := range benchmarks {
		if !selected.MatchString(benchmark.name) {
			continue
		}
		if err := benchmark.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", benchmark.name, err)
		}
	}
	return b.print(os.Stdout)
}

// print writes the rows as a table in Markdown.
func (b *bench) print(file *os.File) error {
	table := tabwriter.NewWriter(file, 0, 0, 1, ' ', 0)
	fmt.Fprintln(table, "| what\t| midge\t| beside it\t| ratio\t| budget\t|")
	fmt.Fprintln(table, "| ---\t| ---\t| ---\t| ---\t| ---\t|")
	for _, row := range b.rows {
		fmt.Fprintf(table, "| %s\t| %s\t| %s\t| %s\t| %s\t|\n", row.what, row.midge, row.beside, row.ratio, row.budget)
	}
	return table.Flush()
}
