package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/filecoin-venus/venus/cluster"
)

// A watchdog is a process that ends what the tests started once they are gone:
// finished, failed, timed out or killed. It learns of processes and clusters on
// its standard input and acts when that ends.
type watchdog struct {
	mu  sync.Mutex
	in  io.WriteCloser
	cmd *exec.Cmd
}

func startWatchdog(w *world) (*watchdog, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	d := &watchdog{cmd: exec.Command(self)}
	d.cmd.Env = append(os.Environ(), watchdogEnv+"="+w.bin)
	d.cmd.Stdout, d.cmd.Stderr = os.Stdout, os.Stderr
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt at the terminal is not for it
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	return d, d.tell("folder", w.tmp)
}

// tell says what is to be cleaned up: "process PID", "gone PID", "cluster DIR",
// "folder DIR".
func (d *watchdog) tell(what, which string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := fmt.Fprintf(d.in, "%s %s\n", what, which)
	return err
}

// finish has everything ended and cleaned up.
func (d *watchdog) finish() error {
	return errors.Join(d.in.Close(), d.cmd.Wait())
}

func watchdogMain(bin string) int {
	processes, clusters, folders := map[int]bool{}, []string{}, []string{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		what, which, _ := strings.Cut(lines.Text(), " ")
		pid, _ := strconv.Atoi(which) // 0 where it is no number
		switch what {
		case "process":
			processes[pid] = true
		case "gone":
			delete(processes, pid)
		case "cluster":
			clusters = append(clusters, which)
		case "folder":
			folders = append(folders, which)
		}
	}
	for pid := range processes {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may be gone
	}
	code := 0
	var wg sync.WaitGroup
	for _, dir := range clusters {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := takeDown(bin, dir); err != nil {
				fmt.Fprintf(os.Stderr, "e2e: take cluster %s down: %v\n", dir, err)
				code = 1
			}
		}()
	}
	wg.Wait()
	for _, dir := range folders {
		if os.Getenv("VENUS_E2E_KEEP") != "" {
			fmt.Printf("e2e: kept %s\n", dir)
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintf(os.Stderr, "e2e: remove %s: %v\n", dir, err)
			code = 1
		}
	}
	return code
}

// takeDown ends a cluster in good order, and by force when that does not work.
func takeDown(bin, dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ctl := cluster.Control{Layout: cluster.Layout{Data: dir}}
	list, err := ctl.Status(ctx)
	if err != nil {
		return nil // it is down
	}
	out, err := exec.CommandContext(ctx, bin+"/venus-cluster", "down", "--data", dir).CombinedOutput()
	if err == nil {
		return nil
	}
	for _, p := range list {
		if p.PID > 0 {
			_ = syscall.Kill(p.PID, syscall.SIGKILL) // it may be gone
		}
	}
	return fmt.Errorf("%w: %s", err, out)
}
