// Command conformance runs the tests that compare with data nobody here wrote
// and prints one table: for every vector file what passed, failed and does not
// apply, with the reason, then the sums per folder and in total.
//
//	go run ./internal/conformance [--json] [--brief]
//
// Start reading in run. It finds the tests by their use of internal/vectors
// (find.go), runs them in one `go test`, collects the records that vectors.Count,
// vectors.NotApplicable and vectors.Report wrote, and sets them against the files
// that exist (report.go): a file without a record is a failure, so a new vector
// cannot go unnoticed. Known answers that a test holds itself are counted under
// vectors.InTests. Of those tests the long ones run as well (VENUS_LONG_TESTS):
// the largest circuits and graphs. The exit code is 1 when anything failed, and 0
// with one line when the vectors are not at hand.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/filecoin-venus/venus/internal/vectors"
)

func main() {
	asJSON := flag.Bool("json", false, "print the report as JSON")
	brief := flag.Bool("brief", false, "print the folders and what failed, not every file")
	flag.Parse()
	ok, err := run(os.Stdout, *asJSON, *brief)
	if err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(1)
	}
}

// run prints the report and tells whether all is well.
func run(out io.Writer, asJSON, brief bool) (bool, error) {
	root, err := moduleRoot()
	if err != nil {
		return false, err
	}
	dir, err := vectorDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		_, err := fmt.Fprintf(out, "conformance: nothing compared, the vectors are not at hand in %s (set VENUS_VECTORS)\n", dir)
		return true, err
	}
	if err != nil {
		return false, err
	}
	files, err := vectorFiles(dir)
	if err != nil {
		return false, err
	}
	packages, tests, err := findTests(root)
	if err != nil {
		return false, err
	}
	fmt.Fprintf(os.Stderr, "conformance: %d tests in %d packages against %s\n", len(tests), len(packages), dir)
	records, output, failure := compare(root, dir, packages, tests)
	if errors.Is(failure, errNoRun) {
		return false, failure
	}
	r := newReport(files, records)
	if failure != nil {
		r.TestFailure = output
	}
	switch {
	case asJSON:
		err = r.printJSON(out)
	default:
		err = r.printTable(out, brief)
	}
	return r.ok(), err
}

func moduleRoot() (string, error) {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("ask go for the module: %w", err)
	}
	path := strings.TrimSpace(string(mod))
	if path == "" || path == os.DevNull {
		return "", errors.New("run it inside the repository")
	}
	return filepath.Dir(path), nil
}

// vectorDir is where the tests look: VENUS_VECTORS or beside the checkout. The
// name comes with an error that is fs.ErrNotExist where nothing is there.
func vectorDir(root string) (string, error) {
	dir := os.Getenv("VENUS_VECTORS")
	if dir == "" {
		dir = filepath.Join(root, "..", "shared", "vectors")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return dir, err
	}
	_, err = os.Stat(dir)
	return dir, err
}

// vectorFiles lists the files below dir, but for prose.
func vectorFiles(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) == ".md" {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list vectors: %w", err)
	}
	return files, nil
}

// errNoRun says that the tests could not even be started.
var errNoRun = errors.New("cannot run the tests")

// compare runs the tests once and returns what they recorded. A failure of the
// tests comes with their output.
func compare(root, dir string, packages, tests []string) ([]vectors.Record, string, error) {
	tmp, err := os.MkdirTemp("", "venus-conformance-")
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errNoRun, err)
	}
	defer os.RemoveAll(tmp)
	recorded := filepath.Join(tmp, "records")
	// The largest circuits take two minutes alone and more beside other work.
	args := append([]string{"test", "-count=1", "-timeout", "30m", "-run", "^(" + strings.Join(tests, "|") + ")$"}, packages...)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "VENUS_CONFORMANCE_OUT="+recorded, "VENUS_VECTORS="+dir, "VENUS_LONG_TESTS=1")
	output, failure := cmd.CombinedOutput()
	if exit := new(exec.ExitError); failure != nil && !errors.As(failure, &exit) {
		return nil, "", fmt.Errorf("%w: %w", errNoRun, failure)
	}
	records, err := readRecords(recorded)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errNoRun, err)
	}
	return records, string(output), failure
}

func readRecords(path string) ([]vectors.Record, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read records: %w", err)
	}
	var out []vectors.Record
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r vectors.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("read records: %w", err)
		}
		out = append(out, r)
	}
	return out, lines.Err()
}
