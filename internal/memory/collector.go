package memory

import (
	"os"
	"runtime/debug"
)

// How much garbage may grow, in percent of what is in use, before the collector runs; Go's own default is 100.
const (
	// garbage saves a tenth of the time that executing messages takes, for some 100 MiB in a node.
	garbage = 200
	// garbageOfFew saves a tenth of the time that answering takes in a program with a few MiB in use, for some 20 MiB.
	garbageOfFew = 400
)

// soft is where memory becomes dearer than time and the collector runs as often as it must, in bytes.
const soft = 2 << 30

// Relax has the collector run less often, as suits a process that executes messages. What the environment says of it (GOGC,
// GOMEMLIMIT) goes first.
func Relax() { relax(garbage) }

// RelaxFew is Relax for a process that has little in use.
func RelaxFew() { relax(garbageOfFew) }

func relax(percent int) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(percent)
	debug.SetMemoryLimit(soft)
}
