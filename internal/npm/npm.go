// Package npm lets tests ask programs that nobody here wrote: packages of npm, run by node. A test keeps a folder with
// package.json, package-lock.json and its scripts; the lock file pins every package by digest. Start at Install.
//
// Invariants: what is installed lies in the test's own folder, outside the repository, and comes from npm's cache where
// that has it; a machine without node or npm skips, any other trouble fails the test.
package npm

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Clients is a folder with scripts and the packages they need: a copy, so that no Go files of theirs come to lie inside
// the module.
type Clients struct{ dir string }

// Install copies the files of a folder and runs `npm ci` on them, or says why it cannot and skips the test.
func Install(t testing.TB, folder string) Clients {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the npm clients are not driven: %s is not installed here", program)
		}
	}
	c := Clients{t.TempDir()}
	files, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !f.IsDir() {
			copyFile(t, filepath.Join(folder, f.Name()), filepath.Join(c.dir, f.Name()))
		}
	}
	// npm finds its registry and proxies as this machine is set up. What its cache holds it need not ask about: the lock
	// file's digests judge it.
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--prefer-offline")
	cmd.Dir = c.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	return c
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Script runs node with a script and its arguments. The input, unless nil, is given as JSON on standard input; the last
// line of standard output is read as JSON into output. The script gets a home of its own and, of our environment, only
// the path and what env adds.
func (c Clients) Script(t testing.TB, env []string, input, output any, args ...string) {
	t.Helper()
	var stdin io.Reader
	if input != nil {
		b, err := json.Marshal(input)
		if err != nil {
			t.Fatal(err)
		}
		stdin = bytes.NewReader(b)
	}
	c.Stream(t, env, stdin, output, args...)
}

// Stream is Script with standard input as it is, for more than fits well into JSON.
func (c Clients) Stream(t testing.TB, env []string, stdin io.Reader, output any, args ...string) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.dir, stdin, &out, &errOut
	cmd.Env = append([]string{"HOME=" + c.dir, "PATH=" + os.Getenv("PATH"), "TZ=UTC", "NO_COLOR=1"}, env...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("node %v: %v\n%s%s", args, err, out.String(), errOut.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), output); err != nil {
		t.Fatalf("node %v: %v\n%s%s", args, err, out.String(), errOut.String())
	}
}

// Program is a running script that is told things line by line and tells of them.
type Program struct {
	t      testing.TB
	in     io.WriteCloser
	events chan []byte
	errOut *bytes.Buffer
	seen   [][]byte // read, and not yet asked for
}

// Start runs node with a script and its arguments until the test ends.
func (c Clients) Start(t testing.TB, args ...string) *Program {
	t.Helper()
	p := &Program{t: t, events: make(chan []byte, 1<<16), errOut: &bytes.Buffer{}}
	cmd := exec.Command("node", args...)
	cmd.Dir, cmd.Stderr = c.dir, p.errOut
	cmd.Env = []string{"HOME=" + c.dir, "PATH=" + os.Getenv("PATH"), "TZ=UTC", "NO_COLOR=1"}
	out, err := cmd.StdoutPipe()
	if err == nil {
		p.in, err = cmd.StdinPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("node %v: %v", args, err)
	}
	go func() {
		defer close(p.events)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			p.events <- bytes.Clone(lines.Bytes())
		}
	}()
	t.Cleanup(func() {
		_ = p.in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	return p
}

// Tell gives the script an order, as a line of JSON.
func (p *Program) Tell(order any) {
	p.t.Helper()
	b, err := json.Marshal(order)
	if err == nil {
		_, err = p.in.Write(append(b, '\n'))
	}
	if err != nil {
		p.t.Fatalf("tell the script: %v\n%s", err, p.errOut)
	}
}

// Await returns the first line, of those not returned yet, that match takes.
func (p *Program) Await(ctx context.Context, what string, match func(line []byte) bool) []byte {
	p.t.Helper()
	for i, line := range p.seen {
		if match(line) {
			p.seen = append(p.seen[:i:i], p.seen[i+1:]...)
			return line
		}
	}
	for {
		select {
		case line, ok := <-p.events:
			if !ok {
				p.t.Fatalf("%s: the script ended\n%s", what, p.errOut)
			}
			if match(line) {
				return line
			}
			p.seen = append(p.seen, line)
		case <-ctx.Done():
			p.t.Fatalf("%s: %v; the script said %q\n%s", what, ctx.Err(), p.seen[max(0, len(p.seen)-5):], p.errOut)
		}
	}
}
