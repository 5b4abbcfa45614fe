// Package faulttest finds the marks of internal/fault in the source, so that crash tests forget none.
//
// Start reading at Marks.
package faulttest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var mark = regexp.MustCompile(`fault\.Point\("([^"]+)"\)`)

// Marks lists, in order, the marks that programs pass whose source the globs match; tests do not count. Fewer than least
// fail the test: then the source is not where it was.
func Marks(t testing.TB, least int, globs ...string) []string {
	t.Helper()
	var out []string
	for _, glob := range globs {
		files, err := filepath.Glob(glob)
		require.NoError(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			source, err := os.ReadFile(name)
			require.NoError(t, err)
			for _, m := range mark.FindAllSubmatch(source, -1) {
				out = append(out, string(m[1]))
			}
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	require.GreaterOrEqual(t, len(out), least)
	return out
}
