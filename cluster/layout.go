package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/filecoin-venus/venus/internal/fsutil"
)

// Layout are the places in a cluster's folder.
type Layout struct{ Data string }

// Net is the folder of the private network (genesis/devnet.Layout).
func (l Layout) Net() string { return filepath.Join(l.Data, "network") }

// Home is a program's own directory.
func (l Layout) Home(program string) string { return filepath.Join(l.Data, "home", program) }

// Log is where a program's output goes.
func (l Layout) Log(program string) string { return filepath.Join(l.Data, "logs", program+".log") }

// Secret is a file of mode 0600 with a token or password.
func (l Layout) Secret(name string) string { return filepath.Join(l.Data, "secrets", name) }

// Sectors is the storage path of the new miner's sealer.
func (l Layout) Sectors() string { return filepath.Join(l.Data, "sectors") }

func (l Layout) state() string  { return filepath.Join(l.Data, "cluster.json") }
func (l Layout) socket() string { return filepath.Join(l.Data, "supervisor.sock") }

func (l Layout) make() error {
	for _, dir := range []string{l.Data, filepath.Join(l.Data, "home"), filepath.Join(l.Data, "logs"), filepath.Join(l.Data, "secrets"), l.Sectors()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the cluster's folder: %w", err)
		}
	}
	return nil
}

// Ports are the TCP ports of a cluster.
type Ports struct {
	Auth, Beacon, Wallet, Node, Swarm, Messager, GenesisSealer, Sealer, Miner int
}

// guidePorts are those of the deployment guide.
var guidePorts = Ports{Auth: 8989, Beacon: 8990, Wallet: 5678, Node: 3453, Swarm: 34530, Messager: 39812, GenesisSealer: 2346, Sealer: 2345, Miner: 12308}

// PortsFrom gives a cluster its ports: those of the guide for base 0, else
// base and the next ones.
func PortsFrom(base int) (Ports, error) {
	if base == 0 {
		return guidePorts, nil
	}
	if base < 1024 || base > 65000 {
		return Ports{}, fmt.Errorf("port base %d: want 1024 to 65000", base)
	}
	return Ports{
		Auth: base, Beacon: base + 1, Wallet: base + 2, Node: base + 3, Swarm: base + 4, Messager: base + 5,
		GenesisSealer: base + 6, Sealer: base + 7, Miner: base + 8,
	}, nil
}

// State is what a cluster remembers of its making.
type State struct {
	Ports Ports
	// Done lists the finished steps of the journey with the seconds they took.
	Done map[string]float64
	// Owner and Worker are the new miner's addresses, Miner its ID address.
	Owner, Worker, Miner string
	// GenesisMiner is the miner that exists from the start.
	GenesisMiner string
	Faucet       string
	// Sector is the number of the first pledged sector, as text; "" before.
	Sector string
}

// ErrNoCluster says that a folder holds no cluster.
var ErrNoCluster = errors.New("no cluster here; make one with `venus-cluster up`")

// LoadState reads a cluster's state.
func LoadState(l Layout) (*State, error) {
	b, err := os.ReadFile(l.state())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", l.Data, ErrNoCluster)
	}
	if err != nil {
		return nil, fmt.Errorf("read cluster state: %w", err)
	}
	s := new(State)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", l.state(), err)
	}
	if s.Done == nil {
		s.Done = map[string]float64{}
	}
	return s, nil
}

func (s *State) save(l Layout) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode cluster state: %w", err)
	}
	return fsutil.WriteFileAtomic(l.state(), append(b, '\n'), 0o600)
}
