// Package golden compares what a test saw with a file of its testdata folder. Running the test with -rewrite writes the
// file instead; the difference is then for a person to read in the diff.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Equal fails the test when got is not the content of the file at path.
func Equal(t testing.TB, path, got string) {
	t.Helper()
	if rewriting() {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -rewrite to make it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

var rewrite = flag.Bool("rewrite", false, "write golden files instead of comparing with them")

func rewriting() bool { return *rewrite }
