//go:build !linux

package memory

// large: there is no such advice here.
func large([]byte) {}
