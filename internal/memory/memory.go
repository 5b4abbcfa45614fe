// Package memory is about the memory of this process: the most it had while it did something, and large blocks that the
// collector shall not count. Start at Meter and at Block.
package memory

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Meter finds the most memory that the process has had in a while. The zero value is ready for Begin.
type Meter struct{ resets bool }

// Files of Linux: writing resetPeak to the first sets the mark in the second back to what the process has now.
const (
	clearFile  = "/proc/self/clear_refs"
	statusFile = "/proc/self/status"
	resetPeak  = "5"
)

// Begin gives memory that is free back, and begins a new count where the system can; where it cannot, the count goes on.
func (m *Meter) Begin() {
	debug.FreeOSMemory()
	m.resets = os.WriteFile(clearFile, []byte(resetPeak), 0) == nil
}

// End is the most memory in bytes since Begin, or, if alone is false, since the process began. Where the system does not
// tell it is what Go has asked for so far.
func (m *Meter) End() (bytes uint64, alone bool) {
	b, err := os.ReadFile(statusFile)
	if n, ok := highWater(string(b)); err == nil && ok {
		return n, m.resets
	}
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.Sys, false
}

// highWater reads VmHWM, given in KiB.
func highWater(status string) (uint64, bool) {
	for line := range strings.Lines(status) {
		rest, ok := strings.CutPrefix(line, "VmHWM:")
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		return n << 10, err == nil
	}
	return 0, false
}

// Peak is the most memory in bytes that the process had while run ran.
func Peak(run func()) uint64 {
	var m Meter
	m.Begin()
	run()
	n, _ := m.End()
	return n
}
