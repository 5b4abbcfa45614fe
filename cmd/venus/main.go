// Command venus is the chain node of a cluster. `daemon` runs it, `genesis`
// makes a private network, `beacon` serves that network's randomness, `sim`
// mines a chain in one process; every other command talks to a running node.
package main

import (
	"github.com/urfave/cli/v3"

	clivenus "github.com/filecoin-venus/venus/cli/venus"

	"github.com/filecoin-venus/venus/cli/render"
)

const version = "1.0.0"

func main() { render.Main(app()) }

func app() *cli.Command {
	return &cli.Command{
		Name: "venus", Usage: "a Filecoin chain node", Version: version,
		Flags:    clivenus.GlobalFlags(),
		Commands: append([]*cli.Command{daemonCommand(), genesisCommand(), beaconCommand(), simCommand()}, clivenus.Commands(exportCommand(), importCommand())...),
	}
}
