package memory

import (
	"os"
	"runtime/debug"
)

const (
	// garbage is how much of it may grow, in percent of what is in use, before the collector runs; Go's own default is 100.
	// A tenth of the time that executing messages takes is saved, for some 100 MiB in a node.
	garbage = 200
	// soft is where memory becomes dearer than time and the collector runs as often as it must, in bytes.
	soft = 2 << 30
)

// Relax has the collector run less often, as suits a process that executes messages. What the environment says of it (GOGC,
// GOMEMLIMIT) goes first.
func Relax() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(garbage)
	debug.SetMemoryLimit(soft)
}
