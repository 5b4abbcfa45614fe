//go:build unix && !linux

package mariadb

import "syscall"

// attributes say nothing: the server runs as the user of the tests and ends when they end in good order.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
