// Package npm lets tests ask programs that nobody here wrote: packages of npm, run by node. A test keeps a folder with
// package.json, package-lock.json and its scripts; the lock file pins every package by digest. Start at Install.
//
// Invariants: what is installed lies in the test's own folder, outside the repository, and comes from npm's cache where
// that has it; a machine without node or npm skips, any other trouble fails the test.
package npm

import (
	"bytes"
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
