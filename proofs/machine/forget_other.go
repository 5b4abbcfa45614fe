//go:build !linux

package machine

import "os"

// forget does nothing: this system cannot be told to drop a file from its memory.
func forget(*os.File) {}
