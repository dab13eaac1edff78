package main

import (
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar shows progress on a terminal, and nothing elsewhere.
type bar struct{ *progressbar.ProgressBar }

func newBytesBar(out io.Writer, size int64, what string) bar {
	return bar{progressbar.NewOptions64(size, append(barOptions(out, what), progressbar.OptionShowBytes(true))...)}
}

func newCountBar(out io.Writer, size int64, what string) bar {
	return bar{progressbar.NewOptions64(size, append(barOptions(out, what), progressbar.OptionShowCount(), progressbar.OptionShowIts())...)}
}

func barOptions(out io.Writer, what string) []progressbar.Option {
	file, isFile := out.(*os.File)
	return []progressbar.Option{
		progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(40),
		progressbar.OptionSetVisibility(isFile && term.IsTerminal(int(file.Fd()))),
	}
}

func (b bar) reader(r io.Reader) io.Reader { return io.TeeReader(r, b.ProgressBar) }

// set moves the bar; that a terminal cannot be written to stops nothing.
func (b bar) set(n int64) { _ = b.Set64(n) }

func (b bar) finish() { _ = b.Finish() }
