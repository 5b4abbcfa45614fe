package wallet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/cli/render"
)

// PasswordEnv is the variable that may hold the password.
const PasswordEnv = "VENUS_WALLET_PASSWORD"

const (
	flagPasswordFile    = "password-file"
	flagPasswordFD      = "password-fd"
	flagNewPasswordFile = "new-password-file"
	maxPassword         = 1024
)

// PasswordFlags are the ways to give a password without a prompt.
func PasswordFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: flagPasswordFile, Usage: "read the password from the first line of this `FILE`"},
		&cli.IntFlag{Name: flagPasswordFD, Value: -1, Usage: "read the password from this open file descriptor `N`"},
	}
}

// GivenPassword returns the password of a file, a descriptor or the environment; nil when none was given.
func GivenPassword(cmd *cli.Command) ([]byte, error) {
	file, fd := cmd.String(flagPasswordFile), cmd.Int(flagPasswordFD)
	switch {
	case file != "" && fd >= 0:
		return nil, api.Errorf(api.CodeInvalid, "give either --%s or --%s", flagPasswordFile, flagPasswordFD)
	case file != "":
		return passwordFile(cmd, file)
	case fd >= 0:
		f := os.NewFile(uintptr(fd), "password descriptor")
		defer f.Close()
		return firstLine(f, fmt.Sprintf("file descriptor %d", fd))
	}
	if v, ok := os.LookupEnv(PasswordEnv); ok {
		if v == "" {
			return nil, api.Errorf(api.CodeInvalid, "%s is set but empty", PasswordEnv)
		}
		return []byte(v), nil
	}
	return nil, nil
}

func passwordFile(cmd *cli.Command, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "open password file: %w", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o077 != 0 {
		render.From(cmd).Warn("others may read %s; run: chmod 600 %s", path, path)
	}
	return firstLine(f, path)
}

func firstLine(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxPassword+2))
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "read password from %s: %w", name, err)
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
	}
	b = bytes.TrimSuffix(b, []byte("\r"))
	switch {
	case len(b) == 0:
		return nil, api.Errorf(api.CodeInvalid, "%s holds no password", name)
	case len(b) > maxPassword:
		return nil, api.Errorf(api.CodeInvalid, "the password in %s is longer than %d bytes", name, maxPassword)
	}
	return b, nil
}

// askPassword is the given password, or what a person types. again asks twice.
func askPassword(cmd *cli.Command, again bool) (string, error) {
	given, err := GivenPassword(cmd)
	if err != nil || given != nil {
		return string(given), err
	}
	return typePassword(cmd, "Password:", again)
}

// askNewPassword is what changepwd sets: from a file, or typed twice.
func askNewPassword(cmd *cli.Command) (string, error) {
	if file := cmd.String(flagNewPasswordFile); file != "" {
		b, err := passwordFile(cmd, file)
		return string(b), err
	}
	return typePassword(cmd, "New password:", true)
}

func typePassword(cmd *cli.Command, label string, again bool) (string, error) {
	tty, ok := terminal(cmd)
	if !ok {
		return "", api.Errorf(api.CodeInvalid, "no password given and no terminal to ask on").
			WithHint("use --%s, --%s or the environment variable %s", flagPasswordFile, flagPasswordFD, PasswordEnv)
	}
	first, err := prompt(tty, cmd.Root().ErrWriter, label)
	if err != nil || !again {
		return first, err
	}
	second, err := prompt(tty, cmd.Root().ErrWriter, "Enter Password again:")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", api.Errorf(api.CodeInvalid, "the input passwords are inconsistent").WithHint("nothing was changed; try again")
	}
	return first, nil
}

var errInterrupted = errors.New("interrupted")

// prompt reads a line without showing it: a star for each character.
func prompt(tty *os.File, w io.Writer, label string) (string, error) {
	old, err := term.MakeRaw(int(tty.Fd()))
	if err != nil {
		return "", fmt.Errorf("prepare terminal: %w", err)
	}
	defer term.Restore(int(tty.Fd()), old) //nolint:errcheck // there is nothing left to do about it
	fmt.Fprint(w, label)
	defer fmt.Fprint(w, "\r\n")
	return readMasked(tty, w)
}

func readMasked(r io.Reader, w io.Writer) (string, error) {
	var typed []rune
	var pending []byte
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, one); err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		switch c := one[0]; {
		case c == '\r' || c == '\n':
			return string(typed), nil
		case c == 3: // Ctrl-C
			return "", errInterrupted
		case c == 4: // Ctrl-D
			return "", fmt.Errorf("read password: %w", io.EOF)
		case c == 127 || c == 8:
			if len(typed) > 0 {
				typed = typed[:len(typed)-1]
				fmt.Fprint(w, "\b \b")
			}
		case c == 21: // Ctrl-U
			for range typed {
				fmt.Fprint(w, "\b \b")
			}
			typed = typed[:0]
		case c < 32:
			// Other control keys are no characters.
		default:
			pending = append(pending, c)
			if s := string(pending); c < 0x80 || validRune(pending) {
				typed = append(typed, []rune(s)...)
				pending = pending[:0]
				fmt.Fprint(w, "*")
			} else if len(pending) >= 4 {
				return "", errors.New("read password: not UTF-8")
			}
			if len(typed) > maxPassword {
				return "", fmt.Errorf("read password: longer than %d characters", maxPassword)
			}
		}
	}
}

func validRune(b []byte) bool { return len(bytes.Runes(b)) == 1 && bytes.Runes(b)[0] != '\uFFFD' }

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
