package wallet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/cli/render"
)

// PasswordEnv is the variable that may hold the password.
const PasswordEnv = "VENUS_WALLET_PASSWORD"

// credentialsEnv names the folder in which systemd puts the credentials of a unit (LoadCredential=, SetCredential=);
// credential is ours.
const (
	credentialsEnv = "CREDENTIALS_DIRECTORY"
	credential     = "venus-wallet-password"
)

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

// GivenPassword returns the password of a file, a descriptor, the environment or a credential of systemd, the first there
// is; nil when none was given.
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
	if dir := os.Getenv(credentialsEnv); dir != "" {
		if path := filepath.Join(dir, credential); exists(path) {
			return passwordFile(cmd, path)
		}
	}
	return nil, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
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

// AskPassword is the given password, or what a person types after a label; again asks twice.
func AskPassword(cmd *cli.Command, label string, again bool) ([]byte, error) {
	given, err := GivenPassword(cmd)
	if err != nil || given != nil {
		return given, err
	}
	text, err := typePassword(cmd, label, again)
	return []byte(text), err
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
			WithHint("use --%s, --%s, the environment variable %s or the systemd credential %s", flagPasswordFile, flagPasswordFD, PasswordEnv, credential)
	}
	first, err := typed(cmd, tty, label)
	if err != nil || !again {
		return first, err
	}
	second, err := typed(cmd, tty, "Enter Password again:")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", api.Errorf(api.CodeInvalid, "the input passwords are inconsistent").WithHint("nothing was changed; try again")
	}
	return first, nil
}

func typed(cmd *cli.Command, tty *os.File, label string) (string, error) {
	pw, err := render.From(cmd).SecretAt(tty, label)
	if err == nil && len(pw) > maxPassword {
		return "", api.Errorf(api.CodeInvalid, "the password is longer than %d bytes", maxPassword)
	}
	return pw, err
}

// terminal is what a person types at, if any.
func terminal(cmd *cli.Command) (*os.File, bool) {
	f, ok := cmd.Root().Reader.(*os.File)
	return f, ok && render.IsTerminal(f)
}
