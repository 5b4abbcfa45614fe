package wallet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc/daemon"
	"github.com/filecoin-venus/venus/wallet/keystore"
)

// DefaultRepo is the wallet's directory; PathEnv overrides it.
const (
	DefaultRepo = "~/.venus_wallet"
	PathEnv     = "VENUS_WALLET_PATH"
)

const (
	configName  = "config.toml"
	networkName = "network"
	// DefaultListen serves programs of the same machine.
	DefaultListen = "/ip4/127.0.0.1/tcp/5678/http"
)

// config is the file config.toml.
type config struct {
	API struct {
		ListenAddress string
	}
	Factor struct {
		ScryptN, ScryptR, ScryptP int
	}
	Lock struct {
		// After locks the keys after so long without a signature, "" or 0 = never.
		After duration
	}
	SignLog struct {
		// Keep is how long records of signatures are kept, "" or 0 = for ever.
		Keep duration
	}
}

// duration reads "90m". It is no number: a bare 90 would be nanoseconds.
type duration struct{ time.Duration }

// UnmarshalText reads "90m"; "" and "0" are none.
func (d *duration) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	v, err := time.ParseDuration(string(b))
	if err == nil && v < 0 {
		err = errors.New("negative")
	}
	d.Duration = v
	return err
}

// minKeep is the least that records are kept: bounds of policies look back a day.
const minKeep = 7 * 24 * time.Hour

const configText = `# venus-wallet reads this file when it starts.

[API]
# Where the wallet listens. To serve programs on other machines use /ip4/0.0.0.0/tcp/5678/http and keep the port behind a
# firewall: the connection is not encrypted. Every caller needs a token (venus-wallet auth api-info --perm sign).
ListenAddress = %q

[Factor]
# Cost of stretching the password, for passwords set from now on: memory is 128 * ScryptN * ScryptR bytes.
ScryptN = %d
ScryptR = %d
ScryptP = %d

[Lock]
# Lock the keys when nothing was signed for so long, such as "8h"; "0" never locks by itself.
After = "0"

[SignLog]
# How long the records of signatures are kept, at least "168h"; "0" keeps them for ever.
Keep = "0"
`

// loadConfig reads config.toml and writes it with comments when it is not there.
func loadConfig(r *repo.Repo) (config, error) {
	d := keystore.DefaultParams
	var c config
	c.API.ListenAddress, c.Factor.ScryptN, c.Factor.ScryptR, c.Factor.ScryptP = DefaultListen, d.N, d.R, d.P
	path := r.Path(configName)
	err := daemon.ReadConfig(path, &c, "correct the file, or move it away to have a fresh one written")
	if errors.Is(err, fs.ErrNotExist) {
		return c, fsutil.WriteFileAtomic(path, fmt.Appendf(nil, configText, DefaultListen, d.N, d.R, d.P), 0o600)
	}
	if after := c.Lock.After.Duration; err == nil && after > 0 && after < time.Second {
		return c, api.Errorf(api.CodeInvalid, "%s: Lock.After is less than a second", path)
	}
	if keep := c.SignLog.Keep.Duration; err == nil && keep > 0 && keep < minKeep {
		return c, api.Errorf(api.CodeInvalid, "%s: SignLog.Keep is less than %s", path, minKeep)
	}
	return c, err
}

// listenAddress accepts a port alone, as the original's --api did, or a multiaddr.
func listenAddress(s string) (string, error) {
	if a := daemon.PortAlone(s); strings.HasPrefix(a, "/") {
		return a, nil
	}
	return "", api.Errorf(api.CodeInvalid, "%q is no address to listen on", s).
		WithHint("write a port (5678) or a multiaddr (%s)", DefaultListen)
}

// networkPrefix returns how addresses are printed on a network: the names of params, or test and main for any.
func networkPrefix(name string) (address.Network, error) {
	switch name {
	case "test", "testnet":
		return address.Testnet, nil
	case "main":
		return address.Mainnet, nil
	}
	find := params.ByName
	if strings.ContainsRune(name, '/') {
		find = params.Load
	}
	n, err := find(name)
	if err != nil {
		return 0, api.Errorf(api.CodeInvalid, "%w", err).WithHint("for a network without a name here say test or main, or give the path of its network file")
	}
	return n.AddressNetwork(), nil
}

// storedNetwork is the network that the wallet was started for last, "" before the first start.
func storedNetwork(d repo.Dir) (string, error) {
	raw, err := os.ReadFile(d.Path(networkName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read network: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// chooseNetwork decides between the flag and what is stored, and stores a change. Keys belong to no network: only the
// first letter of printed addresses depends on it.
func chooseNetwork(r *repo.Repo, flag string) (string, error) {
	name := flag
	if name == "" {
		stored, err := storedNetwork(r.Dir)
		if err != nil {
			return "", err
		}
		if name = stored; name == "" {
			name = "main"
		}
	}
	if _, err := networkPrefix(name); err != nil {
		return "", err
	}
	return name, fsutil.WriteFileAtomic(r.Path(networkName), []byte(name+"\n"), 0o600)
}

// PrintFor sets how this process prints addresses: like the wallet whose directory d is. Mains call it once.
func PrintFor(d repo.Dir) error {
	name, err := storedNetwork(d)
	if err != nil || name == "" {
		return err
	}
	return printAs(name)
}

func printAs(network string) error {
	prefix, err := networkPrefix(network)
	if err != nil {
		return err
	}
	address.CurrentNetwork = prefix
	return nil
}
