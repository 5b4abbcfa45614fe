package wallet

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/types"
)

// FlagRepo names the flag for the wallet's directory.
const FlagRepo = "repo"

// Env is what the commands need from the program around them.
type Env struct {
	// PrintFor sets the address prefix to that of the wallet in a directory.
	PrintFor func(repo.Dir) error
	// ParseMethod reads a method of a policy: a number, Send or actor.Name.
	ParseMethod func(string) (abi.MethodNum, error)
}

// Commands are all commands but run.
func Commands(e Env) []*cli.Command {
	return []*cli.Command{
		e.setPassword(), e.changePassword(), e.unlock(), e.lock(), e.lockState(), e.newKey(), e.list(), e.importKey(), e.exportKey(), e.sign(), e.deleteKey(),
		e.program().Tokens("tokens for other programs"), e.program().Logs("the running wallet"), e.policy(),
	}
}

// client asks the running daemon.
type client = walletapi.WalletProxy

func (e Env) program() connect.Program[*client] {
	return connect.Program[*client]{
		Name: "venus-wallet", New: func() *client { return new(client) }, Namespace: walletapi.Namespace,
		Directory: FlagRepo, Start: "start the wallet first: venus-wallet run", PrintAs: e.PrintFor,
		NamedToken: func(ctx context.Context, c *client, name string, perms []api.Permission) ([]byte, error) {
			return c.AuthNewNamed(ctx, name, perms)
		},
	}
}

// call makes a command out of a function that uses a client; what it returns is printed on a line.
func (e Env) call(c *cli.Command, args []string, f func(ctx context.Context, cmd *cli.Command, w *client) (string, error)) *cli.Command {
	return e.program().Call(c, args, func(ctx context.Context, cmd *cli.Command, w *client, p *render.Printer) error {
		out, err := f(ctx, cmd, w)
		if err == nil && out != "" {
			p.Line("%s", out)
		}
		return err
	})
}

func (e Env) setPassword() *cli.Command {
	return e.call(&cli.Command{
		Name: "setpwd", Aliases: []string{"set-password"}, Usage: "set the password of a new wallet and unlock it", Flags: PasswordFlags(),
	}, nil, func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
		pw, err := askPassword(cmd, true)
		if err != nil {
			return "", err
		}
		return "Password set successfully", w.SetPassword(ctx, pw)
	})
}

func (e Env) changePassword() *cli.Command {
	return e.call(&cli.Command{
		Name: "changepwd", Usage: "replace the password", Flags: append(PasswordFlags(),
			&cli.StringFlag{Name: flagNewPasswordFile, Usage: "read the new password from the first line of this `FILE`"}),
	}, nil, func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
		old, err := askPassword(cmd, false)
		if err != nil {
			return "", err
		}
		fresh, err := askNewPassword(cmd)
		if err != nil {
			return "", err
		}
		return "Password changed successfully", w.ChangePassword(ctx, old, fresh)
	})
}

func (e Env) unlock() *cli.Command {
	return e.call(&cli.Command{
		Name: "unlock", Usage: "make the keys usable until lock or the end of the program", Flags: PasswordFlags(),
	}, nil, func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
		pw, err := askPassword(cmd, false)
		if err != nil {
			return "", err
		}
		return "wallet unlock successfully", w.Unlock(ctx, pw)
	})
}

func (e Env) lock() *cli.Command {
	return e.call(&cli.Command{Name: "lock", Usage: "wipe the keys from memory"}, nil,
		func(ctx context.Context, _ *cli.Command, w *client) (string, error) {
			return "wallet lock successfully", w.Lock(ctx)
		})
}

func (e Env) lockState() *cli.Command {
	return e.call(&cli.Command{Name: "lock-state", Aliases: []string{"lockState", "lockstate"}, Usage: "tell whether the wallet is locked"}, nil,
		func(ctx context.Context, _ *cli.Command, w *client) (string, error) {
			locked, err := w.LockState(ctx)
			if locked {
				return "wallet state: locked", err
			}
			return "wallet state: unlocked", err
		})
}

func (e Env) newKey() *cli.Command {
	return e.call(&cli.Command{Name: "new", Usage: "make a key and print its address"}, []string{"[bls|secp256k1]"},
		func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
			kind := types.KeySecp256k1
			if cmd.Args().Present() {
				kind = types.KeyType(cmd.Args().First())
			}
			if _, err := kind.SigType(); err != nil {
				return "", api.Errorf(api.CodeInvalid, "%w", err)
			}
			a, err := w.WalletNew(ctx, kind)
			return a.String(), err
		})
}

func (e Env) list() *cli.Command {
	return e.call(&cli.Command{
		Name: "list", Aliases: []string{"ls"}, Usage: "print the addresses of all keys, with --json as a list",
	}, nil, func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
		addrs, err := w.WalletList(ctx)
		if err != nil {
			return "", err
		}
		lines := make([]string, len(addrs))
		for i, a := range addrs {
			lines[i] = a.String()
		}
		if p := render.From(cmd); p.JSON() {
			return "", p.Value(lines)
		}
		return strings.Join(lines, "\n"), nil
	})
}

func (e Env) exportKey() *cli.Command {
	return e.call(&cli.Command{Name: "export", Usage: "print a private key as the field's tools read it"}, []string{"ADDRESS"},
		func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
			addr, err := connect.Address(cmd.Args().First())
			if err != nil {
				return "", err
			}
			ki, err := w.WalletExport(ctx, addr)
			if err != nil {
				return "", err
			}
			b, err := json.Marshal(ki)
			return hex.EncodeToString(b), err
		})
}

func (e Env) importKey() *cli.Command {
	return e.call(&cli.Command{
		Name: "import", Usage: "store a private key",
		Flags: []cli.Flag{&cli.StringFlag{Name: "format", Value: "hex-lotus", Usage: "hex-lotus (or hex-venus), json-lotus (or json-venus)"}},
	}, []string{"[FILE|-]"}, func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
		raw, err := readKey(cmd)
		if err != nil {
			return "", err
		}
		defer clear(raw)
		ki, err := decodeKey(raw, cmd.String("format"))
		if err != nil {
			return "", err
		}
		defer clear(ki.PrivateKey)
		a, err := w.WalletImport(ctx, ki)
		return fmt.Sprintf("imported key %s successfully!", a), err
	})
}

const maxKeyFile = 64 << 10

func readKey(cmd *cli.Command) ([]byte, error) {
	in := cmd.Root().Reader
	switch name := cmd.Args().First(); {
	case name != "" && name != "-":
		f, err := os.Open(name)
		if err != nil {
			return nil, api.Errorf(api.CodeInvalid, "open key file: %w", err)
		}
		defer f.Close()
		in = f
	default:
		if tty, ok := terminal(cmd); ok {
			line, err := render.From(cmd).SecretAt(tty, "Enter private key: ")
			return []byte(line), err
		}
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxKeyFile+1))
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "read key: %w", err)
	}
	if len(raw) > maxKeyFile {
		return nil, api.Errorf(api.CodeInvalid, "the key is longer than %d bytes", maxKeyFile)
	}
	return raw, nil
}

// decodeKey never puts what it read into an error.
func decodeKey(raw []byte, format string) (*types.KeyInfo, error) {
	text := []byte(strings.TrimSpace(string(raw)))
	switch format {
	case "hex-lotus", "hex-venus":
		b := make([]byte, hex.DecodedLen(len(text)))
		if _, err := hex.Decode(b, text); err != nil {
			return nil, api.Errorf(api.CodeInvalid, "the key is not hex").WithHint("a key in JSON needs --format json-lotus")
		}
		text = b
	case "json-lotus", "json-venus":
	default:
		return nil, api.Errorf(api.CodeInvalid, "format %q is unknown", format).WithHint("use hex-lotus or json-lotus")
	}
	var ki types.KeyInfo
	if err := json.Unmarshal(text, &ki); err != nil || len(ki.PrivateKey) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "the key is not a JSON object with Type and PrivateKey")
	}
	return &ki, nil
}

func (e Env) sign() *cli.Command {
	return e.call(&cli.Command{
		Name: "sign", Usage: "sign an object with a key and print type and signature in hex",
		Flags: []cli.Flag{&cli.StringFlag{
			Name: "type", Aliases: []string{"msg-type"}, Value: string(walletapi.TypeMessage),
			Usage: "what HEX is: message (CBOR of an unsigned message), block, dealproposal, signedvoucher, drawrandomparam, text (any bytes, signed in the envelope of FRC-0102), or unknown (raw bytes, only where a policy of the key allows them)",
		}},
	}, []string{"ADDRESS", "HEX"}, func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
		signer, err := connect.Address(cmd.Args().First())
		if err != nil {
			return "", err
		}
		object, err := hex.DecodeString(cmd.Args().Get(1))
		if err != nil {
			return "", api.Errorf(api.CodeInvalid, "what to sign is not hex: %w", err)
		}
		meta := walletapi.MsgMeta{Type: walletapi.MsgType(cmd.String("type"))}
		if meta.Type == walletapi.TypeMessage {
			object, meta.Extra = nil, object
		}
		sig, err := w.WalletSign(ctx, signer, object, meta)
		if err != nil {
			return "", err
		}
		return hex.EncodeToString(append([]byte{byte(sig.Type)}, sig.Data...)), nil
	})
}

func (e Env) deleteKey() *cli.Command {
	return e.call(&cli.Command{
		Name: "delete", Aliases: []string{"del"}, Usage: "delete a key; its encrypted file is kept below deleted/",
	}, []string{"ADDRESS"}, func(ctx context.Context, cmd *cli.Command, w *client) (string, error) {
		addr, err := connect.Address(cmd.Args().First())
		if err != nil {
			return "", err
		}
		dir, err := e.program().Dir(cmd)
		if err != nil {
			return "", err
		}
		if err := w.WalletDelete(ctx, addr); err != nil {
			return "", err
		}
		render.From(cmd).Note("its encrypted file is kept in %s; moving it back into keys/ before the next start restores the key", dir.Path("wallet", "deleted"))
		return "success", nil
	})
}
