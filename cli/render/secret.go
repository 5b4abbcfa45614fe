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
	fd := int(os.Stdin.Fd())
	fmt.Fprint(p.err, prompt)
	if !term.IsTerminal(fd) {
		s, err := readLine(os.Stdin)
		fmt.Fprintln(p.err)
		return s, err
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		return "", fmt.Errorf("prepare the terminal: %w", err)
	}
	defer fmt.Fprintln(p.err)
	defer term.Restore(fd, old)
	return readStars(os.Stdin, p.err)
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
		c, _ := utf8.DecodeRune(pending)
		pending = pending[:0]
		switch c {
		case '\r', '\n':
			return string(s), nil
		case 3, 4: // Ctrl-C, Ctrl-D
			return "", context.Canceled
		case 8, 127: // backspace
			if len(s) > 0 {
				s = s[:len(s)-1]
				fmt.Fprint(echo, "\b \b")
			}
		default:
			s = append(s, c)
			fmt.Fprint(echo, "*")
		}
	}
	return "", api.Errorf(api.CodeInvalid, "the secret is longer than %d bytes", maxSecret)
}
