package main

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"midge/execute"
)

// executionView shows an execution to a person as it goes: bars while inputs and
// outputs travel, and the build's log in between.
type executionView struct {
	program *program
	log     buildLog
	bars    *mpb.Progress // nil while there are none
	bar     map[string]*mpb.Bar
	records *recorder // of --json, instead of all else; nil for none
}

func newExecutionView(p *program) *executionView {
	return &executionView{program: p, log: buildLog{program: p}, bar: map[string]*mpb.Bar{}}
}

// observe shows one step of progress.
func (v *executionView) observe(progress execute.Progress) {
	if created, ok := progress.(execute.Created); ok {
		v.program.measurement.concerns(created.Build.ID)
	}
	if v.records != nil {
		v.records.observe(progress)
		return
	}
	switch progress := progress.(type) {
	case execute.Sending:
		v.sending(progress)
	case execute.Sent:
		v.finish("looking at " + progress.Input)
		v.finish("uploading " + progress.Input)
		v.say(receiptLine(progress.Input, progress.Receipt, "sent"))
	case execute.Estimated:
		v.finish("looking at " + progress.Input)
		v.close()
		v.program.showEstimate(progress)
	case execute.Created:
		v.close()
		v.say(fmt.Sprintf("executing build %d at %s", progress.Build.ID, progress.URL))
	case execute.Happened:
		v.log.happened(progress)
	case execute.Aborting:
		to := v.program.progress()
		io.WriteString(to, to.overKey())
		v.log.say(0, bold, "aborting, interrupt again to leave at once ...", "")
	case execute.Receiving:
		v.advance("downloading "+progress.Output, progress.Bytes, progress.Total)
	case execute.Received:
		v.finish("downloading " + progress.Output)
		v.say(fetchLine(progress.Output, progress.Directory, progress.Receipt))
	}
}

// sending shows first how many files were looked at, and then how much is sent.
func (v *executionView) sending(progress execute.Sending) {
	if progress.Total > 0 {
		v.finish("looking at " + progress.Input)
		v.advance("uploading "+progress.Input, progress.Bytes, progress.Total)
	} else {
		v.advance("looking at "+progress.Input, progress.Files, 0)
	}
}

// confirm asks whether a large input may be sent.
func (v *executionView) confirm(large *execute.LargeUploadError) error {
	if !v.program.canAsk() {
		return large
	}
	v.close()
	return v.program.confirm(fmt.Sprintf("%s would send %s, most of it %s; send it?",
		large.What, size(large.Bytes), large.LargestNamed()))
}

// say tells the person something, above the bars if there are any.
func (v *executionView) say(line string) {
	if v.bars != nil {
		fmt.Fprintln(v.bars, line)
		return
	}
	v.log.say(0, "", line, "")
}

// advance moves a bar on, and shows it if it is new. Of a total of 0 only the bytes
// are shown.
func (v *executionView) advance(name string, bytes, total int64) {
	if v.program.flags.quiet || !v.program.stderr.terminal || v.program.stderr.dumb {
		return
	}
	bar := v.bar[name]
	if bar == nil {
		if v.bars == nil {
			v.bars = mpb.New(mpb.WithOutput(v.program.stderr.File), mpb.WithWidth(40))
		}
		bar = newBar(v.bars, name, total)
		v.bar[name] = bar
	}
	bar.SetCurrent(bytes)
}

func newBar(bars *mpb.Progress, name string, total int64) *mpb.Bar {
	if total == 0 {
		return bars.New(0, mpb.NopStyle(), mpb.BarRemoveOnComplete(),
			mpb.PrependDecorators(decor.Name(name+" "), decor.Any(func(s decor.Statistics) string {
				return humanize.Comma(s.Current)
			})))
	}
	return bars.AddBar(total, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(name+" ")),
		mpb.AppendDecorators(decor.CountersKiloByte("% .1f / % .1f"),
			decor.AverageSpeed(decor.SizeB1000(0), " % .1f"), decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace)))
}

// finish takes a bar away.
func (v *executionView) finish(name string) {
	if bar := v.bar[name]; bar != nil {
		bar.SetTotal(-1, true)
		delete(v.bar, name)
	}
}

// close takes all bars away, and waits until the terminal shows that.
func (v *executionView) close() {
	for _, bar := range v.bar {
		bar.Abort(true)
	}
	clear(v.bar)
	if v.bars != nil {
		v.bars.Wait()
		v.bars = nil
	}
}
