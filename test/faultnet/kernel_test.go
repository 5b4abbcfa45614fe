//go:build linux

package faultnet

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// inodeOf finds the socket at one end of a connection in /proc/net/tcp.
func inodeOf(local, remote *net.TCPAddr) (string, error) {
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return "", err
	}
	defer f.Close()
	hex := func(a *net.TCPAddr) string {
		return fmt.Sprintf("%08X:%04X", binary.LittleEndian.Uint32(a.IP.To4()), a.Port)
	}
	l, r := hex(local), hex(remote)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if w := strings.Fields(lines.Text()); len(w) > 9 && w[1] == l && w[2] == r && w[9] != "0" {
			return w[9], nil
		}
	}
	return "", fmt.Errorf("no socket from %s to %s", local, remote)
}

// holds tells whether a process has a socket open.
func holds(pid int, inode string) bool {
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}

func TestKernelKnowsWhoDials(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	inode, err := inodeOf(c.LocalAddr().(*net.TCPAddr), c.RemoteAddr().(*net.TCPAddr))
	require.NoError(t, err)
	require.True(t, holds(os.Getpid(), inode))
	require.False(t, holds(os.Getppid(), inode))
	_, err = inodeOf(l.Addr().(*net.TCPAddr), c.LocalAddr().(*net.TCPAddr))
	require.Error(t, err)
}
