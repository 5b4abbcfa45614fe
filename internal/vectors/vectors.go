// Package vectors opens the conformance data that the tests compare with. The
// data lives outside the repository: in $VENUS_VECTORS, by default in
// ../shared/vectors beside the checkout. Where it is absent a test says so in
// one visible line and skips.
package vectors

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Dir returns the folder of the vectors or skips the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("VENUS_VECTORS")
	if dir == "" {
		_, self, _, ok := runtime.Caller(0)
		if !ok {
			t.Fatal("cannot tell where the repository lies")
		}
		dir = filepath.Join(filepath.Dir(self), "..", "..", "..", "shared", "vectors")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("conformance vectors are not at hand (set VENUS_VECTORS): %v", err)
	}
	return dir
}

// Bytes reads one file, gunzipped when its name ends in .gz.
func Bytes(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join(Dir(t), name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if filepath.Ext(name) == ".gz" {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return b
}

// JSON decodes one file, gunzipped when its name ends in .gz.
func JSON(t testing.TB, name string, into any) {
	t.Helper()
	if err := json.Unmarshal(Bytes(t, name), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Glob lists the files below the vectors' folder that match the pattern, as
// names for Bytes and JSON.
func Glob(t testing.TB, pattern string) []string {
	t.Helper()
	dir := Dir(t)
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		if names[i], err = filepath.Rel(dir, p); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// InTests begins the name of known answers that a test holds itself. Count and
// NotApplicable take such a name in place of a vector file's.
const InTests = "in tests/"

// Count records that n cases of a vector file were compared. With
// VENUS_CONFORMANCE_OUT set, the line is appended to that file when the test
// ends: passed or failed as the test did. `make conformance` makes a table of
// these lines.
func Count(t testing.TB, name string, n int) {
	t.Helper()
	record(t, name, n, 0, "")
}

// NotApplicable records that n cases of a vector file were not compared and why.
func NotApplicable(t testing.TB, name string, n int, reason string) {
	t.Helper()
	record(t, name, 0, n, reason)
}

// Record is one line of the conformance report. File is the name of a vector
// file, or one that begins with InTests.
type Record struct {
	File                          string
	Passed, Failed, NotApplicable int
	Reason                        string `json:",omitempty"`
}

func record(t testing.TB, name string, compared, skipped int, reason string) {
	t.Helper()
	out := os.Getenv("VENUS_CONFORMANCE_OUT")
	if out == "" || compared+skipped == 0 {
		return
	}
	t.Cleanup(func() {
		r := Record{File: name, Passed: compared, NotApplicable: skipped, Reason: reason}
		if t.Failed() {
			r.Passed, r.Failed = 0, compared
		}
		write(t, out, r)
	})
}

// Report writes a finished record at once, for runners that count the outcome of
// every case themselves.
func Report(t testing.TB, r Record) {
	t.Helper()
	if out := os.Getenv("VENUS_CONFORMANCE_OUT"); out != "" && r.Passed+r.Failed+r.NotApplicable > 0 {
		write(t, out, r)
	}
}

func write(t testing.TB, out string, r Record) {
	t.Helper()
	line, err := json.Marshal(r)
	if err != nil {
		t.Errorf("conformance record: %v", err)
		return
	}
	f, err := os.OpenFile(out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Errorf("conformance record: %v", err)
		return
	}
	defer f.Close()
	if _, err := f.Write(append(line, '\n')); err != nil {
		t.Errorf("conformance record: %v", err)
	}
}
