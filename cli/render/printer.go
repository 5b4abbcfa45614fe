package render

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/filecoin-venus/venus/internal/clock"
)

// Printer prints the result and the notes of one command.
type Printer struct {
	out, err io.Writer
	json     bool
	raw      bool
	colour   bool
	live     bool // stderr is a terminal: progress may redraw
	clk      clock.Clock
}

// From returns the printer of a running command.
func From(cmd *cli.Command) *Printer {
	root := cmd.Root()
	p := New(root.Writer, root.ErrWriter)
	p.json, p.raw = cmd.Bool("json"), cmd.Bool("raw")
	switch cmd.String("color") {
	case "always":
		p.colour = true
	case "never":
		p.colour = false
	}
	return p
}

// New makes a printer without flags: text, colours only on a terminal.
func New(out, err io.Writer) *Printer {
	p := &Printer{out: out, err: err, clk: clock.Real(), live: isTerminal(err)}
	p.colour = isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return p
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// JSON tells whether the result is wanted as JSON.
func (p *Printer) JSON() bool { return p.json }

// Raw tells whether exact numbers are wanted.
func (p *Printer) Raw() bool { return p.raw }

// Result prints v as JSON with --json, and calls human otherwise.
func (p *Printer) Result(v any, human func()) error {
	if p.json {
		return p.Value(v)
	}
	human()
	return nil
}

// Value prints v as indented JSON in any mode.
func (p *Printer) Value(v any) error { return writeJSON(p.out, v) }

func writeJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return fmt.Errorf("encode the result: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

// Line prints one line of the result.
func (p *Printer) Line(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

// Note prints a line beside the result, on stderr.
func (p *Printer) Note(format string, args ...any) { fmt.Fprintf(p.err, format+"\n", args...) }

// Warn prints a warning on stderr.
func (p *Printer) Warn(format string, args ...any) {
	fmt.Fprintf(p.err, "warning: "+format+"\n", args...)
}

func (p *Printer) paint(code, s string) string {
	if !p.colour || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Green colours what is well.
func (p *Printer) Green(s string) string { return p.paint("32", s) }

// Yellow colours what deserves a look.
func (p *Printer) Yellow(s string) string { return p.paint("33", s) }

// Red colours what is wrong.
func (p *Printer) Red(s string) string { return p.paint("31", s) }

// Blue colours what is low and harmless.
func (p *Printer) Blue(s string) string { return p.paint("34", s) }

// Bold stresses.
func (p *Printer) Bold(s string) string { return p.paint("1", s) }

// Table is rows under titles. Cells may carry colours.
type Table struct {
	titles []string
	right  []bool
	rows   [][]string
}

// NewTable names the columns; a title that starts with ">" makes its column
// right-aligned, as numbers should be.
func NewTable(titles ...string) *Table {
	t := &Table{}
	for _, s := range titles {
		s, right := strings.CutPrefix(s, ">")
		t.titles, t.right = append(t.titles, s), append(t.right, right)
	}
	return t
}

// Row adds a row; missing cells are empty.
func (t *Table) Row(cells ...any) {
	row := make([]string, len(t.titles))
	for i := range row {
		if i < len(cells) {
			row[i] = strings.ReplaceAll(fmt.Sprint(cells[i]), "\n", " ")
		}
	}
	t.rows = append(t.rows, row)
}

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Table prints a table; nothing is ever cut.
func (p *Printer) Table(t *Table) {
	width := make([]int, len(t.titles))
	for _, row := range append([][]string{t.titles}, t.rows...) {
		for i, c := range row {
			width[i] = max(width[i], visible(c))
		}
	}
	for r, row := range append([][]string{t.titles}, t.rows...) {
		var b strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", width[i]-visible(c))
			if r == 0 {
				c = p.Bold(c)
			}
			if t.right[i] {
				c, pad = pad+c, ""
			}
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(c + pad)
		}
		fmt.Fprintln(p.out, strings.TrimRight(b.String(), " "))
	}
}

// visible counts the characters of s without colour codes.
func visible(s string) int {
	n, in := 0, false
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case r == '\x1b':
			in = true
		case in:
			in = r != 'm'
		default:
			n++
		}
	}
	return n
}

// Fields prints aligned "name: value" lines in the given order.
func (p *Printer) Fields(pairs ...any) {
	names := make([]string, 0, len(pairs)/2)
	width := 0
	for i := 0; i+1 < len(pairs); i += 2 {
		name := fmt.Sprint(pairs[i])
		names = append(names, name)
		width = max(width, visible(name))
	}
	for i, name := range names {
		pad := strings.Repeat(" ", width-visible(name)+1)
		p.Line("%s", strings.TrimRight(name+":"+pad+fmt.Sprint(pairs[2*i+1]), " "))
	}
}
