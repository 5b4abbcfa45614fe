// Package procs sets how much Go code a process runs side by side: see [More].
package procs

import (
	"os"
	"runtime"
)

// cores is what the process started with, which knows of limits of its container.
var cores = runtime.GOMAXPROCS(0)

// More lets twice as much Go code run side by side as the machine has cores, unless the environment says (GOMAXPROCS). It is for
// programs that spend much of their time in calls out of Go, BLS signatures and fsyncs, in which the scheduler takes a
// processor for busy: with one a core, goroutines that are ready wait for such a call to end, and a core may idle meanwhile. A
// wallet gives a tenth more signatures by it, a node catches up a tenth faster.
func More() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * cores)
	}
}

// Cores is how many cores the process has, whatever More did: into so many parts goes work that has a cost of its own in each.
func Cores() int { return cores }
