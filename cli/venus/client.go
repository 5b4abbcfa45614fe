package venus

import (
	"context"
	"strings"

	"github.com/filecoin-project/go-address"
	"github.com/ipfs/go-cid"
	"github.com/urfave/cli/v3"

	"github.com/filecoin-venus/venus/api"
	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/rpc"
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

// Commands are all commands that need a running node.
func Commands() []*cli.Command {
	return []*cli.Command{chainCommands(), stateCommands(), mpoolCommands(), syncCommands(), netCommands(), walletCommands(), authCommands(), logCommands(), stopCommand()}
}

// client is a connection to the running node.
type client struct {
	*apinode.FullNodeProxy
	close func()
	maddr string
}

func dial(cmd *cli.Command) (*client, error) {
	c := &client{FullNodeProxy: new(apinode.FullNodeProxy)}
	token := cmd.String(flagToken)
	if c.maddr = cmd.String(flagAPI); c.maddr == "" {
		const hint = "start the node first: venus daemon --network NAME"
		dir, err := repo.Read(cmd.String(FlagRepo))
		if err != nil {
			return nil, api.Errorf(api.CodePrecondition, "%w", err).WithHint(hint)
		}
		if c.maddr, err = dir.API(); err != nil {
			return nil, api.Errorf(api.CodePrecondition, "%w", err).WithHint(hint)
		}
		if token, err = dir.Token(); err != nil {
			return nil, api.Errorf(api.CodePrecondition, "%w", err).WithHint(hint)
		}
	}
	var err error
	c.close, err = rpc.Dial(c.maddr, token, apinode.Namespace, c.FullNodeProxy, rpc.DialOptions{Service: "venus", Path: "/rpc/v1"})
	return c, err
}

// action is what a command does with a connection.
type action func(ctx context.Context, cmd *cli.Command, c *client, p *render.Printer) error

// call makes a command of an action. Names in args that end in "?" may be left out.
func call(cmd *cli.Command, args []string, act action) *cli.Command {
	least := 0
	for _, a := range args {
		if !strings.HasSuffix(a, "?") {
			least++
		}
	}
	cmd.ArgsUsage = strings.ReplaceAll(strings.Join(args, " "), "?", "")
	cmd.Action = func(ctx context.Context, cmd *cli.Command) error {
		if n := cmd.Args().Len(); n < least || n > len(args) {
			return render.Usage("%s takes %s, got %d arguments", cmd.Name, cmd.ArgsUsage, n)
		}
		c, err := dial(cmd)
		if err != nil {
			return err
		}
		defer c.close()
		return act(ctx, cmd, c, render.From(cmd))
	}
	return cmd
}

func parseAddress(s string) (address.Address, error) {
	a, err := address.NewFromString(s)
	if err != nil {
		return address.Undef, render.Usage("%q is no address: %s", s, err)
	}
	return a, nil
}

func parseCid(s string) (cid.Cid, error) {
	c, err := cid.Decode(s)
	if err != nil {
		return cid.Undef, render.Usage("%q is no CID: %s", s, err)
	}
	return c, nil
}

// parseKey reads block CIDs separated by commas; "" and "@head" are the head.
func parseKey(s string) (types.TipSetKey, error) {
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

func at(cmd *cli.Command) (types.TipSetKey, error) { return parseKey(cmd.String("tipset")) }
