package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/internal/fault/faulttest"
)

// failpoints are all marks of the wallet's durable steps.
func failpoints(t *testing.T) []string {
	return faulttest.Marks(t, 15, filepath.Join("..", "..", "wallet", "*.go"), filepath.Join("..", "..", "wallet", "*", "*.go"))
}

// elsewhere are the marks that other tests die at, and why.
var elsewhere = map[string]string{
	"wallet/auditPrune": "wants 32 MiB of records; in package signlog segments are small",
}

// crash is what a wallet of one key is doing when it dies at a mark.
type crash struct {
	// args is the command that reaches the mark; KEY stands for the address, FILE for a backup. The daemon dies of it, or, for
	// backup and restore, the command itself.
	args []string
	// after checks what is there once the wallet has started again.
	after func(t *testing.T, w *world, key string)
}

// crashes tells for every mark of the daemon how it is reached, and what holds afterwards.
func crashes() map[string]crash {
	keys := func(n int) func(*testing.T, *world, string) {
		return func(t *testing.T, w *world, key string) {
			list := strings.Split(w.ok("list"), "\n")
			require.Len(t, list, n)
			require.Contains(t, list, key)
			for _, a := range list {
				w.ok("export", a)
			}
		}
	}
	signed := func(n int) func(*testing.T, *world, string) {
		return func(t *testing.T, w *world, _ string) {
			var rows []struct{ Type string }
			require.NoError(t, json.Unmarshal([]byte(w.ok("--json", "audit", "--decision", "signed")), &rows))
			require.Len(t, rows, n)
		}
	}
	return map[string]crash{
		"wallet/audit":     {[]string{"sign", "--type", "text", "KEY", "aabb"}, signed(0)},
		"wallet/auditSync": {[]string{"sign", "--type", "text", "KEY", "aabb"}, nil}, // the record may be on disk or not
		"wallet/sign":      {[]string{"sign", "--type", "text", "KEY", "aabb"}, signed(1)},
		"wallet/keyWrite":  {[]string{"new", "bls"}, keys(1)},
		"wallet/keyRename": {[]string{"new", "bls"}, keys(2)},
		"wallet/keyDelete": {[]string{"delete", "KEY"}, keys(1)},
		"wallet/policyWrite": {[]string{"policy", "set", "narrow", "--type", "text"}, func(t *testing.T, w *world, _ string) {
			require.NotContains(t, w.ok("policy", "list"), "narrow")
		}},
		"wallet/masterWrite": {[]string{"changepwd", "--password-file", "OLD", "--new-password-file", "NEW"}, keys(1)},
		"wallet/backupWrite": {[]string{"backup", "FILE", "--password-file", "NEW"}, func(t *testing.T, w *world, _ string) {
			w.ok("backup", filepath.Join(w.repo, "backup"), "--password-file", w.file("new"))
		}},
		"wallet/backupCheck": {[]string{"backup", "FILE", "--password-file", "NEW"}, func(t *testing.T, w *world, _ string) {
			require.Contains(t, w.ok("backup", "--check", filepath.Join(w.repo, "backup"), "--password-file", w.file("new")), "1 keys in")
		}},
	}
}

// fill puts values in the place of what stands for them.
func (w *world) fill(args []string, key string) (out []string) {
	values := map[string]string{"KEY": key, "FILE": filepath.Join(w.repo, "backup"), "OLD": w.file("pw"), "NEW": w.file("new")}
	for _, a := range args {
		if v, ok := values[a]; ok {
			a = v
		}
		out = append(out, a)
	}
	return out
}

// TestKilledAtEveryDurableStep kills the wallet, by SIGKILL, at each mark: what it had answered is there when it starts again,
// what it had not is wholly there or wholly not, and its log of signatures is whole.
func TestKilledAtEveryDurableStep(t *testing.T) {
	table := crashes()
	for _, point := range failpoints(t) {
		if elsewhere[point] != "" || strings.HasPrefix(point, "wallet/restore") {
			continue
		}
		t.Run(strings.TrimPrefix(point, "wallet/"), func(t *testing.T) {
			c, ok := table[point]
			require.True(t, ok, "nothing dies at this mark")
			w := newWorld(t)
			w.start(nil)
			w.ok("setpwd", "--password-file", w.file("pw"))
			key := w.ok("new", "bls")
			w.stop()
			armed := []string{"VENUS_FAILPOINT=" + point + "=kill"}
			w.start(armed, "--password-file", w.file("pw"))
			r := w.run("", armed, w.fill(c.args, key)...)
			require.NotZero(t, r.code, "nobody was told: %s", r.out)
			if r.code != -1 { // else the command itself was killed
				require.Equal(t, render.ExitUnavailable, r.code, r.err)
				w.died()
			}
			w.stop()
			w.start(nil, "--password-file", w.file("pw"))
			w.ok("audit", "--verify")
			if c.after != nil {
				c.after(t, w, key)
			}
			w.ok("sign", "--type", "text", key, "aabb")
		})
	}
}

// TestRestoreKilledAtEveryStep kills a restore at each of its marks, some at a later passage: a wallet that is half there does
// not start, and the same command again finishes it.
func TestRestoreKilledAtEveryStep(t *testing.T) {
	w := newWorld(t)
	w.start(nil)
	w.ok("setpwd", "--password-file", w.file("pw"))
	key := w.ok("new", "bls")
	file := filepath.Join(t.TempDir(), "backup")
	w.ok("backup", file, "--password-file", w.file("b"))
	w.stop()
	for _, point := range failpoints(t) {
		if !strings.HasPrefix(point, "wallet/restore") {
			continue
		}
		passage := "" // the first
		if point == "wallet/restoreMove" || point == "wallet/restoreWrite" {
			passage = ":2" // something is there already
		}
		other := newWorld(t)
		r := other.run("", []string{"VENUS_FAILPOINT=" + point + "=kill" + passage}, "restore", file, "--password-file", w.file("b"))
		require.Equal(t, -1, r.code, "%s%s was not reached: %s", point, passage, r.err)
		other.fails("was interrupted", "run")
		other.ok("restore", file, "--password-file", w.file("b"))
		other.start(nil, "--password-file", w.file("pw"))
		require.Equal(t, key, other.ok("list"))
		other.ok("sign", "--type", "text", key, "aabb")
		other.stop()
	}
}

// died waits until the daemon is gone, and expects that it was killed.
func (w *world) died() {
	w.t.Helper()
	err := w.cmd.Wait()
	var exit *exec.ExitError
	require.ErrorAs(w.t, err, &exit)
	require.Equal(w.t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
	w.cmd = nil
}
