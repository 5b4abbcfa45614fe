package mining

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/filecoin-project/go-address"

	"github.com/filecoin-venus/venus/api"
	miningapi "github.com/filecoin-venus/venus/api/mining"
	nodeapi "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/internal/sqldb"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/rpc/daemon"
)

// DefaultRepo is the directory of venus-miner; PathEnv overrides it.
const (
	DefaultRepo = "~/.venusminer"
	PathEnv     = "VENUS_MINER_PATH"
)

const (
	configName = "config.toml"
	// DefaultListen serves the local command line.
	DefaultListen = "/ip4/127.0.0.1/tcp/12308/http"
	nodePath      = "/rpc/v1"
	nodeTimeout   = 10 * time.Second
)

// duration reads and writes "6s".
type duration struct{ time.Duration }

// UnmarshalText reads a duration.
func (d *duration) UnmarshalText(b []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(b))
	return err
}

// MarshalText writes a duration.
func (d duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// config is the file config.toml.
type config struct {
	FullNode struct {
		miningapi.Endpoint
		// Others take over when the first cannot be heard or lies behind.
		Others []miningapi.Endpoint
	}
	API struct {
		ListenAddress string
	}
	// DB is where the records of signed and won blocks lie.
	DB      struct{ Type, Path, DSN string }
	Network struct {
		Name             string
		BlockDelay       duration
		PropagationDelay duration
	}
}

const configText = `# venus-miner reads this file when it starts. It holds a token: keep its mode 0600.

# The chain node.
[FullNode]
ListenAPI = %q
Token = %q

# Further nodes of the same network take over when the first is gone or lies behind; blocks are handed to all of them.
# [[FullNode.Others]]
# ListenAPI = "/ip4/10.0.0.6/tcp/3453"
# Token = "..."

# Where venus-miner itself listens. Every caller needs a token.
[API]
ListenAddress = %q

# Where it is recorded what was signed and won: a file ("sqlite", Path; empty means mining.db here), or "mysql" with
# DSN = "user:password@tcp(host:3306)/database". Several venus-miners may share a MySQL database: whatever they do, no
# miner signs two blocks of one epoch.
[DB]
Type = %q
Path = %q
DSN = %q

# What the node said of its network when this was set up. A block of an epoch is begun PropagationDelay after the epoch
# before it began.
[Network]
Name = %q
BlockDelay = %q
PropagationDelay = %q
`

func (c *config) write(r *repo.Repo) error {
	text := fmt.Appendf(nil, configText, c.FullNode.ListenAPI, c.FullNode.Token, c.API.ListenAddress,
		c.DB.Type, c.DB.Path, c.DB.DSN, c.Network.Name,
		c.Network.BlockDelay.String(), c.Network.PropagationDelay.String())
	return fsutil.WriteFileAtomic(r.Path(configName), text, 0o600)
}

// readConfig reads the configuration of an initialised directory.
func readConfig(d repo.Dir) (config, error) {
	var c config
	err := daemon.ReadConfig(d.Path(configName), &c, "correct the file")
	if errors.Is(err, fs.ErrNotExist) {
		return c, errNotInitialised(d.Root())
	}
	if err != nil {
		return c, err
	}
	if c.Network.BlockDelay.Duration <= 0 || c.Network.PropagationDelay.Duration < 0 || c.Network.PropagationDelay.Duration >= c.Network.BlockDelay.Duration {
		return c, api.Errorf(api.CodeInvalid, "configuration %s: PropagationDelay must be shorter than BlockDelay", d.Path(configName)).WithHint("correct the file")
	}
	return c, nil
}

// nodes are the endpoints of all nodes.
func (c *config) nodes() []miningapi.Endpoint {
	return append([]miningapi.Endpoint{c.FullNode.Endpoint}, c.FullNode.Others...)
}

// database is where the records lie.
func (c *config) database(r *repo.Repo) sqldb.Config {
	path := c.DB.Path
	if path == "" {
		path = r.Path("mining.db")
	}
	return sqldb.Config{Type: c.DB.Type, Path: path, DSN: c.DB.DSN}
}

func errNotInitialised(dir string) error {
	return api.Errorf(api.CodePrecondition, "repo at '%s' is not initialized, run 'venus-miner init' to set it up", dir)
}

// PrintFor sets the address prefix of this process to that of the network in a directory. Mains call it once.
func PrintFor(d repo.Dir) error {
	c, err := readConfig(d)
	if err != nil {
		return err
	}
	printAs(c.Network.Name)
	return nil
}

func printAs(network string) {
	if prefix := params.AddressNetworkOf(network); address.CurrentNetwork != prefix {
		address.CurrentNetwork = prefix
	}
}

// dialNode opens a client of the node.
func dialNode(endpoint, token string) (*nodeapi.FullNodeProxy, func(), error) {
	p := new(nodeapi.FullNodeProxy)
	stop, err := rpc.Dial(endpoint, token, nodeapi.Namespace, p, rpc.DialOptions{Service: "the node", Path: nodePath})
	return p, stop, err
}

// askNetwork learns the network's name and the length of its epochs.
func askNetwork(ctx context.Context, n *nodeapi.FullNodeProxy) (name string, delay time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	v, err := n.Version(ctx)
	if err != nil {
		return "", 0, err
	}
	if major, _, _ := v.APIVersion.Parts(); major != 2 {
		return "", 0, api.Errorf(api.CodePrecondition, "the node speaks API version %d on %s, version 2 is needed", major, nodePath).
			WithHint("use a node of the same release")
	}
	if v.BlockDelay == 0 {
		return "", 0, api.Errorf(api.CodePrecondition, "the service does not say how long an epoch is: it is no chain node")
	}
	if name, err = n.StateNetworkName(ctx); err != nil {
		return "", 0, err
	}
	return name, time.Duration(v.BlockDelay) * time.Second, nil
}

// shortEpoch is the length from which blocks get a time to spread before the next epoch's are begun.
const shortEpoch = 4 * time.Second

// propagation is how long blocks are given to spread: what is known of the network, or a fifth of an epoch.
func propagation(name string, delay time.Duration) time.Duration {
	for _, known := range params.Names() {
		if n, err := params.ByName(known); err == nil && n.GenesisName == name && n.BlockDelay == delay {
			return n.PropagationDelay
		}
	}
	if delay < shortEpoch {
		return 0
	}
	return delay / 5
}

// InitOptions are what `init` was given.
type InitOptions struct {
	Repo, API, Token, Listen string
}

// Init checks the node and writes the configuration. Nothing is written before the node was heard, and nothing that is
// there is touched.
func Init(ctx context.Context, o InitOptions) error {
	log.Info("Initializing venus miner")
	log.Info("Trying to connect to full node RPC")
	n, stop, err := dialNode(o.API, o.Token)
	if err != nil {
		return err
	}
	defer stop()
	log.Info("Checking if repo exists")
	dir, err := repo.Expand(o.Repo)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir + "/" + configName); err == nil {
		return api.Errorf(api.CodeConflict, "repo at '%s' is already initialized", dir).
			WithHint("start it with `venus-miner run`, or change %s/%s", dir, configName)
	}
	log.Info("Checking full node version")
	name, delay, err := askNetwork(ctx, n)
	if err != nil {
		return err
	}
	if o.Listen == "" {
		o.Listen = DefaultListen
	}
	if _, err := rpc.ListenAddress(o.Listen); err != nil {
		return err
	}
	log.Info("Initializing repo")
	r, err := repo.Open(o.Repo)
	if err != nil {
		return err
	}
	var c config
	c.FullNode.ListenAPI, c.FullNode.Token, c.API.ListenAddress = o.API, rpc.CleanToken(o.Token), o.Listen
	c.DB.Type = sqldb.SQLite
	c.Network.Name, c.Network.BlockDelay.Duration, c.Network.PropagationDelay.Duration = name, delay, propagation(name, delay)
	if err := errors.Join(c.write(r), r.Close()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	log.Info("Miner successfully init, you can now start it with 'venus-miner run'")
	return nil
}
