package drill

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPagesAndTestsMayNotPart changes a page in each way that its test has to notice.
func TestPagesAndTestsMayNotPart(t *testing.T) {
	d := Drill{Steps: []Step{{Type: "venus-a one"}, {Type: "venus-b two --x"}}}
	for text, want := range map[string]string{
		"Type:\n\n    venus-a one   # why\n\nthen `venus-b two`:\n\n    venus-b two --x\n": "",
		"    venus-a one\n":                                              "lost",
		"    venus-a one\n    venus-b two\n":                             "not expect",
		"    venus-b two --x\n    venus-a one\n":                         "not expect",
		"    venus-a one\n    venus-b two --x\n    venus-c\n":            "not expect",
		"    venus-a one\n    venus-b two --x\n\nSee `venus-c three`.\n": "executes",
	} {
		page := filepath.Join(t.TempDir(), "page.md")
		require.NoError(t, os.WriteFile(page, []byte(text), 0o600))
		err := d.fits(Commands(t, page))
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want, text)
	}
}
