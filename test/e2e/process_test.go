package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// result is what a command left behind.
type result struct {
	out, err string
	code     int
}

func (r result) all() string { return r.out + r.err }

// environment is what programs get: a home of their own and no setting of ours.
func environment(home string, extra ...string) []string {
	env := []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TZ=UTC", "NO_COLOR=1"}
	return append(env, extra...)
}

// command runs a program to its end.
func (w *world) command(t *testing.T, home, program string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(w.bin, program), args...)
	cmd.Env = environment(home)
	return finish(t, cmd)
}

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %v: %v", cmd.Args, err)
	}
	return result{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// must runs a program that has to succeed and returns its output.
func (w *world) must(t *testing.T, home, program string, args ...string) string {
	t.Helper()
	r := w.command(t, home, program, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s", program, strings.Join(args, " "), r.code, r.all())
	}
	return r.out
}

// process is a program that runs beside the test.
type process struct {
	t    *testing.T
	w    *world
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it ended
	err  error         // how it ended; read it after done
}

// start runs a program until the test ends. Its log is shown when the test
// fails.
func (w *world) start(t *testing.T, home, program string, args ...string) *process {
	t.Helper()
	return w.startAs(t, environment(home), filepath.Join(t.TempDir(), program+".log"), program, args...)
}

func (w *world) startAs(t *testing.T, env []string, log, program string, args ...string) *process {
	t.Helper()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &process{t: t, w: w, name: program, log: log, done: make(chan struct{}), cmd: exec.Command(filepath.Join(w.bin, program), args...)}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, f, f
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	pid := strconv.Itoa(p.cmd.Process.Pid)
	if err := w.watch.tell("process", pid); err != nil {
		t.Error(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		_ = w.watch.tell("gone", pid) // the watchdog ends with the tests
		if t.Failed() {
			t.Logf("log of %s:\n%s", program, tailOf(log, 40))
		}
	})
	return p
}

// kill ends the process at once.
func (p *process) kill() {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Kill() // it may have ended this moment
		<-p.done
	}
}

// stop ends the process in good order.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("stop %s: %v", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("%s does not stop", p.name)
	}
}

// awaitURL waits until a URL answers 200 while the process lives.
func (p *process) awaitURL(url string) {
	p.t.Helper()
	eventually(p.t, time.Minute, p.name+" answers at "+url, func() error {
		select {
		case <-p.done:
			p.t.Fatalf("%s ended: %v\n%s", p.name, p.err, tailOf(p.log, 20))
		default:
		}
		return askURL(p.t.Context(), url)
	})
}

func askURL(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

const pollEvery = 100 * time.Millisecond

// eventually asks until there is no error, or fails with the last one.
func eventually(t *testing.T, patience time.Duration, what string, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, patience, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, t.Context().Err())
		case <-time.After(pollEvery):
		}
	}
}

// tailOf returns the last lines of a file.
func tailOf(path string, lines int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// freePorts finds n free ports in a row below those that the system gives out
// by itself.
func freePorts(n int) (int, error) {
	for range 1000 {
		base := 12000 + rand.IntN(20000)
		ok := true
		for i := 0; i < n && ok; i++ {
			ok = isFree(base + i)
		}
		if ok {
			return base, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row", n)
}

// freePort finds one free port.
func freePort(t *testing.T) int {
	t.Helper()
	p, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func maddr(port int) string { return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port) }
