package conformance

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/filecoin-venus/venus/internal/vectors"
)

// Tally counts the outcomes of one vector folder. Safe for concurrent use.
type Tally struct {
	mu sync.Mutex

	Passed, Failed int
	// Skipped counts vectors that do not apply, by reason.
	Skipped map[string]int
	// Notes are remarks on vectors that count as passed, by text.
	Notes map[string]int

	// name and folder are set in the tally of one file, files in a folder's.
	name   string
	folder *Tally
	files  []*Tally
}

// File starts the count of one vector file of the folder. What is counted there
// counts for the folder too.
func (c *Tally) File(name string) *Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := &Tally{name: name, folder: c}
	c.files = append(c.files, f)
	return f
}

// Report writes the counts of every file to the conformance report.
func (c *Tally) Report(t *testing.T) {
	for _, f := range c.files {
		vectors.Report(t, vectors.Record{File: f.name, Passed: f.Passed, Failed: f.Failed, Reason: f.remarks()})
		for reason, n := range f.Skipped {
			vectors.Report(t, vectors.Record{File: f.name, NotApplicable: n, Reason: reason})
		}
	}
}

// remarks are the notes in one line.
func (c *Tally) remarks() string {
	var out []string
	for text, n := range c.Notes {
		out = append(out, fmt.Sprintf("%d passed with a remark: %s", n, text))
	}
	sort.Strings(out)
	return strings.Join(out, "; ")
}

// Check counts one vector and reports a failure to the test.
func (c *Tally) Check(t *testing.T, name string, err error) {
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	c.count(err == nil)
}

func (c *Tally) count(passed bool) {
	if c.folder != nil {
		c.folder.count(passed)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if passed {
		c.Passed++
	} else {
		c.Failed++
	}
}

// Skip counts one vector that does not apply.
func (c *Tally) Skip(reason string) {
	if c.folder != nil {
		c.folder.Skip(reason)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Skipped == nil {
		c.Skipped = map[string]int{}
	}
	c.Skipped[reason]++
}

// Note counts a remark.
func (c *Tally) Note(text string) {
	if c.folder != nil {
		c.folder.Note(text)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Notes == nil {
		c.Notes = map[string]int{}
	}
	c.Notes[text]++
}

// Row is the line of the table for this folder.
func (c *Tally) Row(name string) string {
	skipped := 0
	for _, n := range c.Skipped {
		skipped += n
	}
	row := fmt.Sprintf("%-28s %7d %7d %7d", name, c.Passed, c.Failed, skipped)
	return row + remarks("n/a", c.Skipped) + remarks("note", c.Notes)
}

// Header is the first line of the table.
func Header() string {
	return fmt.Sprintf("%-28s %7s %7s %7s", "folder", "passed", "failed", "n/a")
}

func remarks(what string, m map[string]int) string {
	texts := make([]string, 0, len(m))
	for text := range m {
		texts = append(texts, text)
	}
	sort.Strings(texts)
	var b strings.Builder
	for _, text := range texts {
		fmt.Fprintf(&b, "\n%-30s%s: %d %s", "", what, m[text], text)
	}
	return b.String()
}
