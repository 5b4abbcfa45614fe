package render

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/filecoin-venus/venus/api"
)

// maxSecret bounds a typed secret, in bytes.
const maxSecret = 4096

// Secret reads a secret: typed at the terminal and shown as stars, or the next
// line of stdin when that is no terminal. The prompt goes to stderr.
func (p *Printer) Secret(prompt string) (string, error) {
	if IsTerminal(os.Stdin) {
		return p.SecretAt(os.Stdin, prompt)
	}
	fmt.Fprint(p.err, prompt)
	s, err := readLine(os.Stdin)
	fmt.Fprintln(p.err)
	return s, err
}

// IsTerminal tells whether a person may type into f.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// SecretAt lets a person type a secret at a terminal; it shows as stars.
func (p *Printer) SecretAt(tty *os.File, prompt string) (string, error) {
	old, err := term.MakeRaw(int(tty.Fd())) // before the prompt: what is typed at once must not show
	if err != nil {
		return "", fmt.Errorf("prepare the terminal: %w", err)
	}
	fmt.Fprint(p.err, prompt)
	defer fmt.Fprintln(p.err)
	defer term.Restore(int(tty.Fd()), old) //nolint:errcheck // there is nothing left to do about it
	return readStars(tty, p.err)
}

// readLine takes one byte at a time, so that a second prompt finds its line.
func readLine(r io.Reader) (string, error) {
	var line []byte
	b := make([]byte, 1)
	for len(line) < maxSecret {
		n, err := r.Read(b)
		if n == 1 && b[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, b[:n]...)
		if errors.Is(err, io.EOF) {
			if len(line) == 0 {
				return "", api.Errorf(api.CodeInvalid, "stdin ended before the secret came").WithHint("type it at a terminal, or pipe it in as one line")
			}
			return string(line), nil
		}
		if err != nil {
			return "", fmt.Errorf("read the secret: %w", err)
		}
	}
	return "", api.Errorf(api.CodeInvalid, "the secret is longer than %d bytes", maxSecret)
}

// readStars reads a raw terminal up to Enter, byte by byte: what is typed ahead
// belongs to the next prompt.
func readStars(in io.Reader, echo io.Writer) (string, error) {
	var s []rune
	var pending []byte
	b := make([]byte, 1)
	for len(s) < maxSecret {
		if _, err := io.ReadFull(in, b); err != nil {
			return "", fmt.Errorf("read the secret: %w", err)
		}
		pending = append(pending, b[0])
		if !utf8.FullRune(pending) {
			continue
		}
		c, size := utf8.DecodeRune(pending)
		if c == utf8.RuneError && size < 2 {
			return "", api.Errorf(api.CodeInvalid, "the secret is not UTF-8")
		}
		pending = pending[:0]
		switch {
		case c == '\r' || c == '\n':
			return string(s), nil
		case c == 3 || c == 4: // Ctrl-C, Ctrl-D
			return "", context.Canceled
		case (c == 8 || c == 127) && len(s) > 0: // backspace
			s = s[:len(s)-1]
			fmt.Fprint(echo, "\b \b")
		case c == 21: // Ctrl-U
			fmt.Fprint(echo, strings.Repeat("\b \b", len(s)))
			s = s[:0]
		case c < 32 || c == 127:
			// Other control keys are no characters.
		default:
			s = append(s, c)
			fmt.Fprint(echo, "*")
		}
	}
	return "", api.Errorf(api.CodeInvalid, "the secret is longer than %d bytes", maxSecret)
}
