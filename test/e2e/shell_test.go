package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
)

// reader is a person who follows the deployment guide at a shell: a home, a
// folder with the programs, and the values that stand for the placeholders.
type reader struct {
	t         *testing.T
	home, dir string
	fill      map[string]string
	// typed are the guide's commands, as the guide writes them, in order.
	typed []string
	// daemons are the programs that were started in the background.
	daemons []*daemon
}

func newReader(t *testing.T, w *world, home string) *reader {
	t.Helper()
	r := &reader{t: t, home: home, dir: filepath.Join(home, "programs"), fill: map[string]string{}}
	require.NoError(t, os.MkdirAll(r.dir, 0o700))
	programs, err := os.ReadDir(w.bin)
	require.NoError(t, err)
	for _, p := range programs {
		require.NoError(t, os.Symlink(filepath.Join(w.bin, p.Name()), filepath.Join(r.dir, p.Name())))
	}
	return r
}

// filled puts values in the place of placeholders.
func (r *reader) filled(line string) string {
	r.t.Helper()
	// Longer ones first: they may hold shorter ones.
	names := slices.SortedFunc(maps.Keys(r.fill), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	for _, from := range names {
		line = strings.ReplaceAll(line, from, r.fill[from])
	}
	if left := regexp.MustCompile(`<[a-zA-Z][^>]*>`).FindString(line); left != "" {
		r.t.Fatalf("placeholder %s has no value: %s", left, line)
	}
	return line
}

// types runs one of the guide's commands to its end.
func (r *reader) types(line string) result {
	r.t.Helper()
	r.typed = append(r.typed, plain(line))
	return r.shell(r.filled(line))
}

// gets is types for a command that has to succeed; it returns what was printed.
func (r *reader) gets(line string) string {
	r.t.Helper()
	got := r.types(line)
	require.Zero(r.t, got.code, "%s: %s", line, got.all())
	return got.out
}

// shell runs any command line to its end.
func (r *reader) shell(line string) result {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "bash", "-c", line)
	cmd.Dir, cmd.Env = r.dir, environment(r.home)
	return finish(r.t, cmd)
}

// daemon is a program that was started with nohup and &.
type daemon struct {
	r    *reader
	name string
	pid  int
	log  string
}

// starts runs one of the guide's commands that go on in the background.
func (r *reader) starts(line string) *daemon {
	r.t.Helper()
	r.typed = append(r.typed, plain(line))
	return r.background(r.filled(line))
}

var (
	programName = regexp.MustCompile(`\./(venus[a-z-]*)`)
	logName     = regexp.MustCompile(`>\s*([a-z]+\.log)`)
)

func (r *reader) background(line string) *daemon {
	r.t.Helper()
	got := r.shell(line + "\necho $!")
	pid, err := strconv.Atoi(strings.TrimSpace(got.out))
	require.NoError(r.t, err, "%s: %s", line, got.all())
	require.NoError(r.t, shared.watch.tell("process", strconv.Itoa(pid)))
	d := &daemon{r: r, name: programName.FindStringSubmatch(line)[1], pid: pid, log: filepath.Join(r.dir, logName.FindStringSubmatch(line)[1])}
	r.daemons = append(r.daemons, d)
	r.t.Cleanup(func() {
		if r.t.Failed() {
			r.t.Logf("log of %s:\n%s", d.name, tailOf(d.log, 25))
		}
		d.kill()
		_ = shared.watch.tell("gone", strconv.Itoa(pid)) // the watchdog ends with the tests
	})
	return d
}

// alive tells whether the process runs; one that waits to be collected does not.
func (d *daemon) alive() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.pid))
	if err != nil {
		return syscall.Kill(d.pid, 0) == nil && !os.IsNotExist(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// kill ends the process as the guide does: find it, kill it.
func (d *daemon) kill() {
	if !d.alive() {
		return
	}
	_ = syscall.Kill(d.pid, syscall.SIGTERM) // it may have ended this moment
	next := time.NewTicker(pollEvery)
	defer next.Stop()
	for deadline := time.Now().Add(30 * time.Second); d.alive(); <-next.C {
		if time.Now().After(deadline) {
			_ = syscall.Kill(d.pid, syscall.SIGKILL) // as above
			d.r.t.Errorf("%s did not end when asked to", d.name)
			return
		}
	}
}

// ends waits until the process has ended by itself and returns its log.
func (d *daemon) ends(patience time.Duration) string {
	d.r.t.Helper()
	eventually(d.r.t, patience, d.name+" ends", func() error {
		if d.alive() {
			return fmt.Errorf("still running\n%s", tailOf(d.log, 5))
		}
		return nil
	})
	b, err := os.ReadFile(d.log)
	require.NoError(d.r.t, err)
	return string(b)
}

// answers waits until a URL answers 200 while the process lives.
func (d *daemon) answers(url string) {
	d.r.t.Helper()
	eventually(d.r.t, time.Minute, d.name+" answers at "+url, func() error {
		if !d.alive() {
			d.r.t.Fatalf("%s ended:\n%s", d.name, tailOf(d.log, 20))
		}
		return askURL(d.r.t.Context(), url)
	})
}

// dialogue runs one of the guide's commands on a terminal: for each prompt an
// answer. It returns what the terminal showed.
func (r *reader) dialogue(line string, turns ...[2]string) string {
	r.t.Helper()
	r.typed = append(r.typed, plain(line))
	cmd := exec.CommandContext(r.t.Context(), "bash", "-c", "exec "+r.filled(line))
	cmd.Dir, cmd.Env = r.dir, environment(r.home, "TERM=xterm")
	tty, err := pty.Start(cmd)
	require.NoError(r.t, err)
	defer tty.Close()
	require.NoError(r.t, tty.SetReadDeadline(time.Now().Add(time.Minute)))
	shown, seen := "", 0
	buf := make([]byte, 4096)
	for {
		n, err := tty.Read(buf)
		shown += string(buf[:n])
		if len(turns) > 0 {
			if i := strings.Index(shown[seen:], turns[0][0]); i >= 0 {
				seen += i + len(turns[0][0])
				_, werr := tty.WriteString(turns[0][1] + "\r")
				require.NoError(r.t, werr)
				turns = turns[1:]
			}
		}
		if err != nil {
			break // a terminal whose program ended answers with an error
		}
	}
	require.NoError(r.t, cmd.Wait(), "%s showed: %s", line, shown)
	require.Empty(r.t, turns, "%s did not ask for everything; it showed: %s", line, shown)
	return shown
}

// plain writes a command on one line with single blanks, to compare.
func plain(line string) string {
	line = strings.ReplaceAll(line, "\\\n", " ")
	return strings.Join(strings.Fields(line), " ")
}

// commandsOf finds the commands of the cluster's programs in a guide's blocks.
func commandsOf(markdown string) []string {
	var out []string
	inBlock := false
	lines := strings.Split(markdown, "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if strings.HasPrefix(line, "```") {
			inBlock = !inBlock
			continue
		}
		line = strings.TrimPrefix(line, "$ ")
		if !inBlock || !strings.HasPrefix(line, "./venus") && !strings.HasPrefix(line, "nohup ./venus") {
			continue
		}
		for strings.HasSuffix(line, `\`) && i+1 < len(lines) {
			i++
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(lines[i])
		}
		out = append(out, plain(line))
	}
	return out
}
