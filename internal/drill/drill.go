// Package drill lets tests execute the drills of docs/guide: pages that tell an operator what to type when something is lost.
// Start reading at Run.
//
// Invariants: what a page says to type is executed, all of it and in its order, and nothing else; a test that knows other
// commands than its page fails. A command in the middle of a sentence must be one of those that are executed.
package drill

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Program runs a command line of one program and returns all that it said and its exit code.
type Program func(args ...string) (string, int)

// Step is a command of a page.
type Step struct {
	// Type is the command as printed, without what follows a #.
	Type string
	// Before is what happens before it is typed, After looks at what it said. Either may be nil.
	Before func()
	After  func(out string)
	// Fails says that the command ends with an error, which is its way to tell.
	Fails bool
}

// Drill is a page and what its test knows of it.
type Drill struct {
	// Page is a file; Fill puts this test's paths and addresses in the place of those that the page has.
	Page     string
	Fill     *strings.Replacer
	Programs map[string]Program
	Steps    []Step
}

var spans = regexp.MustCompile("`(venus-[^`]*)`")

// Commands are the indented lines of a page.
func Commands(t *testing.T, page string) (out []string, text string) {
	t.Helper()
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "    "); ok {
			rest, _, _ = strings.Cut(rest, " #")
			out = append(out, strings.TrimSpace(rest))
		}
	}
	return out, string(raw)
}

// fits tells where a page and its test part.
func (d Drill) fits(commands []string, text string) error {
	for i, c := range commands {
		if i >= len(d.Steps) || d.Steps[i].Type != c {
			return fmt.Errorf("command %d is %q, which the test does not expect there", i+1, c)
		}
	}
	if len(commands) < len(d.Steps) {
		return fmt.Errorf("it lost the command %q", d.Steps[len(commands)].Type)
	}
	for _, span := range spans.FindAllStringSubmatch(text, -1) {
		if !slices.ContainsFunc(commands, func(c string) bool { return strings.HasPrefix(c, span[1]) }) {
			return fmt.Errorf("it names %q, which nothing here executes", span[1])
		}
	}
	return nil
}

// Run types a page.
func Run(t *testing.T, d Drill) {
	t.Helper()
	name := filepath.Base(d.Page)
	if err := d.fits(Commands(t, d.Page)); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, s := range d.Steps {
		if s.Before != nil {
			s.Before()
		}
		words := strings.Fields(d.Fill.Replace(s.Type))
		program := d.Programs[words[0]]
		if program == nil {
			t.Fatalf("%s: %q is no program that the test has", name, words[0])
		}
		out, code := program(words[1:]...)
		if (code != 0) != s.Fails {
			t.Fatalf("%s: %s: exit code %d\n%s", name, s.Type, code, out)
		}
		if s.After != nil {
			s.After(out)
		}
	}
}
