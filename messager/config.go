package messager

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/messager/store"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/daemon"
)

// Defaults of the directory and its environment variable.
const (
	DefaultRepo = "~/.venus-messager"
	PathEnv     = "VENUS_MESSAGER_PATH"
	// DefaultListen serves other machines: the sealers of a cluster are there. Every
	// caller needs a token.
	DefaultListen = "/ip4/0.0.0.0/tcp/39812"

	configName   = "config.toml"
	holderName   = "instance"
	databaseName = "message.db"
	keyName      = "database-key" // in the keystore
)

// Config is the file config.toml. Flags win over it.
type Config struct {
	API struct {
		ListenAddress string
	}
	Auth struct {
		// URL of venus-auth; empty: only this messager's own tokens are valid.
		URL string
	}
	Node struct {
		URL, Token string
		// Others are used, in this order, when the first is gone or behind.
		Others []NodeConfig
	}
	DB struct {
		// Type is sqlite or mysql.
		Type string
		// DSN is used with mysql.
		DSN string
	}
}

// NodeConfig is a further node.
type NodeConfig struct{ URL, Token string }

const configText = `# venus-messager reads this file when it starts. Flags of "run" win over it; those of the first start were written here.
# It holds secrets: keep it readable by its owner only.

[API]
# Where the messager listens. Every caller needs a token, of venus-auth or of this messager.
ListenAddress = %q

[Auth]
# The venus-auth that knows the callers' tokens. Empty: only this messager's own tokens are valid.
URL = %q

[Node]
# The venus node and the token to use it with (venus-auth genToken --perm write messager).
URL = %q
Token = %q
# Further nodes are used when this one is gone or more than 5 epochs behind; messages are published through all of them.
# [[Node.Others]]
# URL = "/ip4/1.2.3.4/tcp/3453"
# Token = "..."

[DB]
# sqlite keeps the messages in this directory; mysql needs a DSN: user:password@tcp(host:3306)/database?parseTime=true
Type = %q
DSN = %q
`

// loadConfig reads the file, lays the given values over it, and writes it on the
// first start.
func loadConfig(r *repo.Repo, given Config) (Config, error) {
	path := r.Path(configName)
	var c Config
	err := daemon.ReadConfig(path, &c, "correct the file, or move it away to have a fresh one written")
	first := errors.Is(err, fs.ErrNotExist)
	if err != nil && !first {
		return c, err
	}
	for _, x := range []struct {
		into   *string
		values []string
	}{
		{&c.API.ListenAddress, []string{given.API.ListenAddress, c.API.ListenAddress, DefaultListen}},
		{&c.Auth.URL, []string{given.Auth.URL, c.Auth.URL}},
		{&c.Node.URL, []string{given.Node.URL, c.Node.URL}},
		{&c.Node.Token, []string{given.Node.Token, c.Node.Token}},
		{&c.DB.Type, []string{given.DB.Type, c.DB.Type, store.SQLite}},
		{&c.DB.DSN, []string{given.DB.DSN, c.DB.DSN}},
	} {
		for _, v := range x.values {
			if v != "" {
				*x.into = v
				break
			}
		}
	}
	if err := c.validate(); err != nil {
		return c, err
	}
	if !first {
		return c, nil
	}
	text := fmt.Appendf(nil, configText, c.API.ListenAddress, c.Auth.URL, c.Node.URL, c.Node.Token, c.DB.Type, c.DB.DSN)
	return c, fsutil.WriteFileAtomic(path, text, 0o600)
}

func (c Config) validate() error {
	if c.Node.URL == "" {
		return api.Errorf(api.CodeInvalid, "no node is given").WithHint("pass --node-url, for example --node-url /ip4/127.0.0.1/tcp/3453")
	}
	// What cannot be an address is refused before it is written down.
	if _, err := rpc.ParseEndpoint(c.Node.URL, "/rpc/v1"); err != nil {
		return err
	}
	for _, n := range c.Node.Others {
		if _, err := rpc.ParseEndpoint(n.URL, "/rpc/v1"); err != nil {
			return err
		}
	}
	if c.Auth.URL != "" {
		if _, err := rpc.ParseEndpoint(c.Auth.URL, "/"); err != nil {
			return err
		}
	}
	if _, err := rpc.ListenAddress(c.API.ListenAddress); err != nil {
		return err
	}
	if c.DB.Type == store.MySQL && c.DB.DSN == "" {
		return api.Errorf(api.CodeInvalid, "--db-type mysql needs --mysql-dsn").WithHint("its form is user:password@tcp(host:3306)/database?parseTime=true")
	}
	return nil
}
