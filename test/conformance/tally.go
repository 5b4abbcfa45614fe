package conformance

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"testing"
)

// Tally counts the outcomes of one vector folder. Safe for concurrent use.
type Tally struct {
	mu sync.Mutex

	Passed, Failed int
	// Skipped counts vectors that do not apply, by reason.
	Skipped map[string]int
	// Notes are remarks on vectors that count as passed, by text.
	Notes map[string]int
}

// Check counts one vector and reports a failure to the test.
func (c *Tally) Check(t *testing.T, name string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.Passed++
		return
	}
	c.Failed++
	t.Errorf("%s: %v", name, err)
}

// Skip counts one vector that does not apply.
func (c *Tally) Skip(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Skipped == nil {
		c.Skipped = map[string]int{}
	}
	c.Skipped[reason]++
}

// Note counts a remark.
func (c *Tally) Note(text string) {
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
