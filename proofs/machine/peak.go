package machine

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// peak finds the most memory that the process has had in a while.
type peak struct{ resets bool }

// Files of Linux: writing resetPeak to the first sets the mark in the second back to what the process has now.
const (
	clearFile  = "/proc/self/clear_refs"
	statusFile = "/proc/self/status"
	resetPeak  = "5"
)

// begin gives memory that is free back, and begins a new count where the system can; where it cannot, the count goes on.
func (p *peak) begin() {
	debug.FreeOSMemory()
	p.resets = os.WriteFile(clearFile, []byte(resetPeak), 0) == nil
}

// end is the most memory in bytes since begin, or, if alone is false, since the process began. Where the system does not
// tell it is what Go has asked for so far.
func (p *peak) end() (bytes uint64, alone bool) {
	b, err := os.ReadFile(statusFile)
	if n, ok := highWater(string(b)); err == nil && ok {
		return n, p.resets
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys, false
}

// highWater reads VmHWM, given in KiB.
func highWater(status string) (uint64, bool) {
	for line := range strings.Lines(status) {
		rest, ok := strings.CutPrefix(line, "VmHWM:")
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
		return n * kib, err == nil
	}
	return 0, false
}
