package sealing

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dieWithParent has the system kill a child when the test that started it is
// killed, which runs no cleanup.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// bear starts a child that would live for long, tells its number, and waits to be
// killed.
func (r role) bear() error {
	child := exec.Command("sleep", "3600")
	child.SysProcAttr = dieWithParent()
	if err := child.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(r.Notes, []byte(strconv.Itoa(child.Process.Pid)), 0o600); err != nil {
		return err
	}
	select {}
}

// TestChildrenDieWithTheirParent kills a parent with SIGKILL.
func TestChildrenDieWithTheirParent(t *testing.T) {
	dir := t.TempDir()
	parent := start(t, filepath.Join(dir, "log"), role{Bear: true, Notes: filepath.Join(dir, "pid")})
	defer parent.kill()
	var pid []byte
	require.Eventually(t, func() bool {
		pid, _ = os.ReadFile(filepath.Join(dir, "pid"))
		return len(pid) > 0
	}, time.Minute, 10*time.Millisecond)
	alive := func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid))
		_, after, _ := bytes.Cut(stat, []byte(") "))
		return err == nil && !strings.HasPrefix(string(after), "Z") // nobody may be there to collect it
	}
	require.True(t, alive())
	parent.kill()
	require.Eventually(t, func() bool { return !alive() }, time.Minute, 10*time.Millisecond, "process %s outlives its parent", pid)
}
