package venus

import (
	"context"

	"github.com/urfave/cli/v3"

	apinode "github.com/filecoin-venus/venus/api/node"
	"github.com/filecoin-venus/venus/cli/render"
	"github.com/filecoin-venus/venus/rpc/openrpc"
)

// openrpcCommand needs no node: the description is of the contract that this
// program was built with.
func openrpcCommand() *cli.Command {
	return &cli.Command{
		Name: "openrpc", Usage: "print the OpenRPC description of the node's API, as rpc.discover answers it",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "v0", Usage: "of /rpc/v0 instead of /rpc/v1"}},
		Action: func(_ context.Context, cmd *cli.Command) error {
			var proxy any = new(apinode.FullNodeProxy)
			version := apinode.VersionV1
			if cmd.Bool("v0") {
				proxy, version = new(apinode.FullNodeV0Proxy), apinode.VersionV0
			}
			doc, err := openrpc.Document("venus", version.String(), apinode.Namespace, proxy)
			if err != nil {
				return err
			}
			return render.From(cmd).Value(doc)
		},
	}
}
