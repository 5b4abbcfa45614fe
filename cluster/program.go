package cluster

import (
	"fmt"
	"path/filepath"

	"github.com/filecoin-venus/venus/genesis/devnet"
)

// Names of the programs in a cluster. Sealers run once a miner.
const (
	Auth          = "venus-auth"
	Beacon        = "beacon"
	Wallet        = "venus-wallet"
	Node          = "venus"
	Messager      = "venus-messager"
	GenesisSealer = "venus-sealer-genesis"
	Sealer        = "venus-sealer"
	Worker        = "venus-worker"
	Miner         = "venus-miner"
)

// Order is the order in which programs start; they stop in reverse.
func Order() []string {
	return []string{Auth, Beacon, Wallet, Node, Messager, GenesisSealer, Sealer, Worker, Miner}
}

// Program is how to run one program.
type Program struct {
	Name   string
	Binary string
	Args   []string
	// Env is added to the environment; secrets go here or into files.
	Env []string
	// Health is a URL that answers 200 once the program is up; "" when running
	// is all that can be asked.
	Health string
}

func tcp(port int) string     { return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", port) }
func httpURL(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

// NodeURL is where the node listens, as the guide writes it.
func (p Ports) NodeURL() string { return tcp(p.Node) }

// MessagerURL is where the messager listens, as the guide writes it.
func (p Ports) MessagerURL() string { return httpURL(p.Messager) + "/rpc/v0" }

// WalletURL is where the wallet listens, as the guide writes it.
func (p Ports) WalletURL() string { return tcp(p.Wallet) + "/http" }

// SealerURL is where a sealer listens, as the guide writes it.
func SealerURL(port int) string { return tcp(port) + "/http" }

// AuthURL is where venus-auth listens.
func (p Ports) AuthURL() string { return httpURL(p.Auth) }

// Programs returns how to run every program of a cluster. bin is the folder of
// the binaries.
func Programs(l Layout, p Ports, bin string) map[string]Program {
	net := devnet.Layout{Dir: l.Net()}
	health := func(port int) string { return httpURL(port) + "/livez" }
	ready := func(port int) string { return httpURL(port) + "/readyz" } // they live before they answer calls
	list := []Program{
		{Name: Auth, Binary: "venus-auth", Args: []string{"--repo", l.Home(Auth), "--listen", fmt.Sprintf("127.0.0.1:%d", p.Auth), "run"}, Health: httpURL(p.Auth) + "/healthz"},
		{Name: Beacon, Binary: "venus", Args: []string{"beacon", "run", "--dir", l.Net(), "--listen", fmt.Sprintf("127.0.0.1:%d", p.Beacon)}, Health: httpURL(p.Beacon) + "/info"},
		{Name: Wallet, Binary: "venus-wallet", Args: []string{
			"--repo", l.Home(Wallet), "run", "--network", net.Network(), "--api", tcp(p.Wallet), "--password-file", l.Secret("wallet.password"),
		}, Health: health(p.Wallet)},
		{Name: Node, Binary: "venus", Args: []string{
			"--repo", l.Home(Node), "daemon", "--network", net.Network(), "--genesisfile", net.Genesis(), "--auth-url", p.AuthURL(),
			"--api", p.NodeURL(), "--swarm", tcp(p.Swarm), "--beacon-url", httpURL(p.Beacon),
		}, Health: health(p.Node)},
		{Name: Messager, Binary: "venus-messager", Args: []string{
			"--repo", l.Home(Messager), "run", "--auth-url", p.AuthURL(), "--node-url", p.NodeURL(), "--node-token-file", l.Secret("messager.token"), "--listen", tcp(p.Messager),
		}, Health: health(p.Messager)},
		{Name: GenesisSealer, Binary: "venus-sealer", Args: []string{"--repo", l.Home(GenesisSealer), "run", "--miner-api", tcp(p.GenesisSealer)}, Health: ready(p.GenesisSealer)},
		{Name: Sealer, Binary: "venus-sealer", Args: []string{"--repo", l.Home(Sealer), "run", "--miner-api", tcp(p.Sealer)}, Health: ready(p.Sealer)},
		{Name: Worker, Binary: "venus-worker", Args: []string{
			"run", "--sealer", SealerURL(p.Sealer), "--token", "@" + filepath.Join(l.Home(Sealer), "token"), "--name", "local",
		}},
		{Name: Miner, Binary: "venus-miner", Args: []string{"--repo", l.Home(Miner), "run"}, Health: health(p.Miner)},
	}
	out := map[string]Program{}
	for _, prog := range list {
		prog.Binary = filepath.Join(bin, prog.Binary)
		out[prog.Name] = prog
	}
	return out
}
