package connect

import (
	"io"
	"os"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
)

// Address reads an address of any form.
func Address(s string) (address.Address, error) {
	a, err := address.NewFromString(s)
	if err != nil {
		return address.Undef, render.Usage("%q is no address: %w", s, err)
	}
	return a, nil
}

// Addresses reads any number of addresses.
func Addresses(list []string) ([]address.Address, error) {
	out := make([]address.Address, 0, len(list))
	for _, s := range list {
		a, err := Address(s)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// maxSecret bounds a token in bytes.
const maxSecret = 16 << 10

// Secret is a token given with a flag: as itself, or as @FILE so that it shows
// in no list of processes. Errors name the flag, never the secret.
func Secret(flag, text string) (string, error) {
	file, ok := strings.CutPrefix(text, "@")
	if !ok {
		return strings.TrimSpace(text), nil
	}
	return SecretFile(flag, file)
}

// SecretFile reads a token from the file that a flag names; ~ is the home
// directory.
func SecretFile(flag, file string) (string, error) {
	path, err := repo.Expand(file)
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", render.Usage("--%s: %w", flag, err)
	}
	defer f.Close()
	return readSecret(f, flag, path)
}

// Given is the Secret of a flag, or what the file holds that FLAG-file names;
// there "-" is standard input.
func Given(cmd *cli.Command, flag string) (string, error) {
	switch file := cmd.String(flag + "-file"); file {
	case "":
		return Secret(flag, cmd.String(flag))
	case "-":
		return readSecret(cmd.Root().Reader, flag+"-file", "standard input")
	default:
		return SecretFile(flag+"-file", file)
	}
}

func readSecret(r io.Reader, flag, name string) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSecret))
	if err != nil {
		return "", render.Usage("--%s: %w", flag, err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", render.Usage("--%s: %s holds no token", flag, name)
	}
	return token, nil
}
