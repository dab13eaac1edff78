package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// child is a process of a measurement.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// spawn starts this program once more, with only the given settings.
func (b *bench) spawn(ctx context.Context, settings []string, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	for _, variable := range b.environ {
		if !strings.HasPrefix(variable, "POSTHASTE_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, settings...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child{cmd, in, bufio.NewReader(out)}, nil
}

// line reads what the process prints next.
func (c *child) line() (string, error) {
	line, err := c.out.ReadString('\n')
	return strings.TrimSpace(line), err
}

// ask has a sink report, with the addresses that it watches if what is withNames.
func (c *child) ask(what string) (sinkReport, error) {
	var r sinkReport
	if _, err := io.WriteString(c.in, what+"\n"); err != nil {
		return r, fmt.Errorf("the sink is gone: %w", err)
	}
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return r, fmt.Errorf("the sink is gone: %w", err)
	}
	return r, json.Unmarshal(line, &r)
}

// end stops the process and waits until it is gone.
func (c *child) end() {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Signal(os.Interrupt) // or it has ended already
	_, _ = io.Copy(io.Discard, c.out)
	_ = c.cmd.Wait()
}

// ticksPerSecond is the unit of CPU time in /proc, the same on every Linux (sysconf(_SC_CLK_TCK)).
const ticksPerSecond = 100

// errNoProc means a system that does not tell what processes use.
var errNoProc = errors.New("no /proc")

// cpuSeconds is what a process has used so far, in user and kernel mode.
func cpuSeconds(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, errors.Join(errNoProc, err)
	}
	// Behind the name, which may hold anything but ends with the last bracket.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0, errNoProc
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	kernel, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + kernel) / ticksPerSecond, errors.Join(err1, err2)
}

// machineSeconds is what all processes together have used, without what waits.
func machineSeconds() (float64, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, errors.Join(errNoProc, err)
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	var sum float64
	for i, field := range strings.Fields(line) {
		ticks, err := strconv.ParseFloat(field, 64)
		if err == nil && i != 4 && i != 5 && i < 9 { // idle, iowait, and guests, which count as user
			sum += ticks
		}
	}
	return sum / ticksPerSecond, nil
}

// residentPeak is the most memory that a process has had resident, in megabytes.
func residentPeak(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, errors.Join(errNoProc, err)
	}
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	if !found {
		return 0, errNoProc
	}
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb / 1024, err
}
