package venus

import (
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/urfave/cli/v3"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/connect"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/types"
)

// Flags that find the node.
const (
	FlagRepo  = "repo"
	flagAPI   = "node-url"
	flagToken = "node-token"
)

// DefaultRepo is where the daemon lives unless told otherwise.
const DefaultRepo = "~/.venus"

// GlobalFlags are the flags of the program itself.
func GlobalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: FlagRepo, Aliases: []string{"repodir"}, Value: DefaultRepo, Sources: cli.EnvVars("VENUS_PATH"), Usage: "the node's `DIR`ectory"},
		&cli.StringFlag{Name: flagAPI, Sources: cli.EnvVars("VENUS_API"), Usage: "ask the node at this `ADDRESS` instead of the local one"},
		&cli.StringFlag{Name: flagToken, Sources: cli.EnvVars("VENUS_TOKEN"), Usage: "token for --node-url"},
	}
}

// Commands are all commands that need a running node, and openrpc. The given ones, which can do without, become commands
// of `chain`.
func Commands(chain ...*cli.Command) []*cli.Command {
	return []*cli.Command{chainCommands(chain), stateCommands(), mpoolCommands(), syncCommands(), netCommands(), walletCommands(),
		node().Tokens("this node's own tokens (those of a cluster come from venus-auth)"), node().Logs("the running node"), stopCommand(), openrpcCommand()}
}

// client asks the running node.
type client = apinode.FullNodeProxy

func node() connect.Program[*client] {
	return connect.Program[*client]{
		Name: "venus", New: func() *client { return new(client) }, Namespace: apinode.Namespace, Path: "/rpc/v1",
		Directory: FlagRepo, URL: flagAPI, Token: flagToken, Start: "start the node first: venus daemon --network NAME",
	}
}

func call(cmd *cli.Command, args []string, act connect.Action[*client]) *cli.Command {
	return node().Call(cmd, args, act)
}

func parseCid(s string) (cid.Cid, error) {
	c, err := cid.Decode(s)
	if err != nil {
		return cid.Undef, render.Usage("%q is no CID: %s", s, err)
	}
	return c, nil
}

// ParseKey reads block CIDs separated by commas; "" and "@head" are the head.
func ParseKey(s string) (types.TipSetKey, error) {
	if s == "" || s == "@head" {
		return types.EmptyTSK, nil
	}
	var cids []cid.Cid
	for _, part := range strings.Split(s, ",") {
		c, err := parseCid(strings.TrimSpace(part))
		if err != nil {
			return types.EmptyTSK, err
		}
		cids = append(cids, c)
	}
	return types.NewTipSetKey(cids...), nil
}

// atFlag chooses the tipset a question is about.
func atFlag() cli.Flag {
	return &cli.StringFlag{Name: "tipset", Usage: "ask about this tipset: block CIDs separated by commas"}
}

func at(cmd *cli.Command) (types.TipSetKey, error) { return ParseKey(cmd.String("tipset")) }
