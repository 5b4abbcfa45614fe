package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/mariadb"
)

// TestKilledAtEveryDurableStep kills the service before and after each change of its store, on badger and on MariaDB. What
// was not answered is wholly there or wholly not, with its audit entry; what was answered before is untouched.
func TestKilledAtEveryDurableStep(t *testing.T) {
	for _, kind := range []string{"badger", "mysql"} {
		t.Run(kind, func(t *testing.T) {
			home := t.TempDir()
			folder := filepath.Join(home, ".venus-auth")
			require.NoError(t, os.MkdirAll(folder, 0o700))
			if kind == "mysql" {
				require.NoError(t, os.WriteFile(filepath.Join(folder, "config.toml"), fmt.Appendf(nil, "[db]\ntype = \"mysql\"\nDSN = %q\n", mariadb.Database(t)), 0o600))
			}
			kill := serve(t, home, "--listen", "127.0.0.1:0")
			kept := strings.TrimSpace(command(t, home, "genToken", "kept"))
			for _, step := range []struct {
				point string
				args  []string
				done  bool // the change is there afterwards
			}{
				{"auth/beforePut", []string{"genToken", "fresh"}, false},
				{"auth/afterPut", []string{"genToken", "fresh"}, true},
				{"auth/beforeChange", []string{"token", "remove", "fresh"}, false},
				{"auth/afterChange", []string{"token", "remove", "fresh"}, true},
				{"auth/beforeChange", []string{"token", "rotate", "kept"}, false},
				{"auth/afterChange", []string{"token", "rotate", "kept"}, true},
			} {
				before := books(t, home)
				kill()
				t.Setenv("VENUS_FAILPOINT", step.point+"=kill")
				kill = serve(t, home, "--listen", "127.0.0.1:0")
				out, err := program(t, home, step.args...).CombinedOutput()
				require.Error(t, err, "%s: nobody was told: %s", step.point, out)
				kill()
				t.Setenv("VENUS_FAILPOINT", "")
				kill = serve(t, home, "--listen", "127.0.0.1:0")
				after := books(t, home)
				if step.done {
					require.NotEqual(t, before.tokens, after.tokens, "%v", step)
					require.Equal(t, before.changes+1, after.changes, "%v: the audit log tells of it", step)
				} else {
					require.Equal(t, before, after, "%v", step)
				}
			}
			list := command(t, home, "token", "list", "--json", "--removed", "--search", "kept")
			require.Equal(t, 2, strings.Count(list, `"id"`), "%s", list)
			require.Equal(t, 1, strings.Count(list, `"removed": true`), "rotated as a whole: %s", list)
			require.NotContains(t, list, kept)
		})
	}
}

// state is what a store holds: tokens, and how many entries tell of changes to them.
type state struct {
	tokens  string
	changes int
}

func books(t *testing.T, home string) state {
	var entries []struct{ Action string }
	require.NoError(t, json.Unmarshal([]byte(command(t, home, "audit", "--json", "--limit", "1000")), &entries))
	s := state{tokens: command(t, home, "token", "list", "--json", "--removed")}
	for _, e := range entries {
		switch e.Action {
		case "token/generate", "token/remove", "token/rotate":
			s.changes++
		}
	}
	return s
}
