// Command venus-cluster makes and runs a whole cluster on one machine: package
// cluster does the work, package cli/cluster has the commands.
package main

import (
	clicluster "github.com/filecoin-venus/venus/cli/cluster"
	"github.com/filecoin-venus/venus/cli/render"
)

func main() { render.Main(clicluster.App()) }
