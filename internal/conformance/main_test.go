package main

import (
	"bytes"
	"encoding/json"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/filecoin-venus/venus/internal/vectors"
)

func TestReportSums(t *testing.T) {
	files := []string{"b/x.json", "a/one.json", "a/two.json", "p/q/r/s/deep"}
	records := []vectors.Record{
		{File: "a/one.json", Passed: 3},
		{File: "a/one.json", Passed: 4, NotApplicable: 2, Reason: "too large"},
		{File: "a/two.json", Passed: 1, Failed: 5},
		{File: "p/q/r/s/deep", NotApplicable: 1, Reason: "no key"},
		{File: vectors.InTests + "sizes", Passed: 2},
		{File: vectors.InTests + "sizes", Passed: 1},
	}
	r := newReport(files, records)
	require.False(t, r.ok())
	require.Equal(t, counts{Passed: 11, Failed: 5, NotApplicable: 3, NotCompared: 1}, r.Total)
	var folders []string
	for _, f := range r.Folders {
		folders = append(folders, f.Name)
	}
	require.Equal(t, []string{"a", "b", "in tests", "p/q"}, folders)
	require.Equal(t, counts{Passed: 8, Failed: 5, NotApplicable: 2}, r.Folders[0].counts)
	require.Equal(t, []string{"2: too large"}, r.Files[0].Reasons)

	var table bytes.Buffer
	require.NoError(t, r.printTable(&table, true))
	require.NotContains(t, table.String(), "a/one.json", "in brief only what failed is listed")
	require.Regexp(t, `b/x\.json +0 +0 +0 +no test compares it`, table.String())
	require.Regexp(t, `(?m)^total +11 +5 +3 +1$`, table.String())

	var out bytes.Buffer
	require.NoError(t, r.printJSON(&out))
	var back report
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	require.Equal(t, r.Total, back.Total)
}

func TestReportVerdicts(t *testing.T) {
	files := []string{"a/one.json"}
	good := vectors.Record{File: "a/one.json", Passed: 1}
	require.True(t, newReport(files, []vectors.Record{good}).ok())
	require.False(t, newReport(files, nil).ok(), "a file that nobody compares")
	require.False(t, newReport(files, []vectors.Record{good, {File: "a/gone.json", Passed: 1}}).ok(), "a record of no file")
	r := newReport(files, []vectors.Record{good})
	r.TestFailure = "panic"
	require.False(t, r.ok(), "tests that fail outside of a comparison")
}

func TestTestsAreFoundThroughHelpers(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"x_test.go": `package x
func TestDirect(t *T) { vectors.Count(t, "f", 1) }
func TestOpens(t *T) { vectors.JSON(t, "f", nil) }
func TestHelped(t *T) { for _, f := range table { f(t) } }
func TestOther(t *T) {}
var table = []func(*T){helper}
`,
		"y_test.go": "package x\nfunc helper(t *T) { inner(t) }\nfunc inner(t *T) { vectors.NotApplicable(t, \"f\", 1, \"\") }\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		_, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
		require.NoError(t, err)
	}
	names, err := testsOf(&testPackage{Dir: dir, TestGoFiles: []string{"x_test.go", "y_test.go"}})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"TestDirect", "TestHelped"}, names)
}

func TestAbsentVectorsAreSaid(t *testing.T) {
	t.Setenv("VENUS_VECTORS", filepath.Join(t.TempDir(), "none"))
	var out bytes.Buffer
	ok, err := run(&out, false, false)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
	require.Contains(t, out.String(), "VENUS_VECTORS")
}
