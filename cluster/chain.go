package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	apimessager "github.com/filecoin-venus/venus/api/messager"
	apinode "github.com/filecoin-venus/venus/api/node"
	apisealer "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/rpc"
	"github.com/filecoin-venus/venus/types"
)

// Clients are connections to the programs of a cluster.
type Clients struct {
	layout Layout
	ports  Ports
}

// NewClients opens nothing yet.
func NewClients(l Layout, p Ports) Clients { return Clients{l, p} }

func secret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Node connects to the chain node.
func (c Clients) Node() (*apinode.FullNodeProxy, func(), error) {
	token, err := secret(c.layout.Secret("cluster.token"))
	if err != nil {
		return nil, nil, err
	}
	out := new(apinode.FullNodeProxy)
	stop, err := rpc.Dial(c.ports.NodeURL(), token, apinode.Namespace, out, rpc.DialOptions{Service: "venus", Path: "/rpc/v1"})
	return out, stop, err
}

// Messager connects to the messager.
func (c Clients) Messager() (*apimessager.MessagerProxy, func(), error) {
	token, err := secret(c.layout.Secret("cluster.token"))
	if err != nil {
		return nil, nil, err
	}
	out := new(apimessager.MessagerProxy)
	stop, err := rpc.Dial(c.ports.MessagerURL(), token, apimessager.Namespace, out, rpc.DialOptions{Service: "venus-messager"})
	return out, stop, err
}

// Sealer connects to the new miner's sealer.
func (c Clients) Sealer() (*apisealer.SealerProxy, func(), error) {
	token, err := secret(filepath.Join(c.layout.Home(Sealer), "token"))
	if err != nil {
		return nil, nil, err
	}
	out := new(apisealer.SealerProxy)
	stop, err := rpc.Dial(SealerURL(c.ports.Sealer), token, apisealer.Namespace, out, rpc.DialOptions{Service: "venus-sealer"})
	return out, stop, err
}

// Send moves value from the faucet and returns the messager's id.
func (c Clients) Send(ctx context.Context, faucet string, to address.Address, amount types.FIL) (string, error) {
	from, err := address.NewFromString(faucet)
	if err != nil {
		return "", fmt.Errorf("faucet address: %w", err)
	}
	m, stop, err := c.Messager()
	if err != nil {
		return "", err
	}
	defer stop()
	msg := &types.Message{From: from, To: to, Value: amount.Atto(), GasFeeCap: big.Zero(), GasPremium: big.Zero()}
	return m.PushMessage(ctx, msg, nil, walletName)
}

// AwaitMessage waits until a message of the messager is executed with exit 0.
func (c Clients) AwaitMessage(ctx context.Context, id string) error {
	m, stop, err := c.Messager()
	if err != nil {
		return err
	}
	defer stop()
	msg, err := m.WaitMessage(ctx, id, 0)
	if err != nil {
		return err
	}
	if msg.Receipt != nil && msg.Receipt.ExitCode != 0 {
		return fmt.Errorf("message %s ended with exit code %d", id, msg.Receipt.ExitCode)
	}
	return nil
}

func (j *Journey) clients() Clients { return NewClients(j.Layout, j.state.Ports) }

// blockPatience is how long the first blocks may take.
const blockPatience = 2 * time.Minute

// waitForBlocks waits until the head moves and is near the clock.
func (j *Journey) waitForBlocks(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, blockPatience)
	defer cancel()
	n, stop, err := j.clients().Node()
	if err != nil {
		return err
	}
	defer stop()
	first, err := n.ChainHead(ctx)
	if err != nil {
		return err
	}
	for {
		head, err := n.ChainHead(ctx)
		if err != nil {
			return err
		}
		if head.Height() > first.Height()+1 {
			return nil
		}
		if err := j.Clock.Sleep(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("no block within %s (head %d): see %s and %s", blockPatience, head.Height(), j.Layout.Log(Miner), j.Layout.Log(GenesisSealer))
		}
	}
}

// fundFIL is what owner and worker of the new miner get.
const fundFIL = 5000

func (j *Journey) fund(ctx context.Context) error {
	c := j.clients()
	var ids []string
	for _, to := range []string{j.state.Owner, j.state.Worker} {
		a, err := address.NewFromString(to)
		if err != nil {
			return fmt.Errorf("address of the new miner: %w", err)
		}
		id, err := c.Send(ctx, j.state.Faucet, a, types.NewFIL(fundFIL))
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		if err := c.AwaitMessage(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// minerOf finds the miner whose owner has a key address.
func (j *Journey) minerOf(ctx context.Context, owner string) (string, error) {
	n, stop, err := j.clients().Node()
	if err != nil {
		return "", err
	}
	defer stop()
	key, err := address.NewFromString(owner)
	if err != nil {
		return "", err
	}
	id, err := n.StateLookupID(ctx, key, types.EmptyTSK)
	if err != nil {
		return "", err
	}
	miners, err := n.StateListMiners(ctx, types.EmptyTSK)
	if err != nil {
		return "", err
	}
	for _, m := range miners {
		info, err := n.StateMinerInfo(ctx, m, types.EmptyTSK)
		if err != nil {
			return "", err
		}
		if info.Owner == id {
			return m.String(), nil
		}
	}
	return "", fmt.Errorf("no miner of owner %s on chain", owner)
}

func (j *Journey) pledge(ctx context.Context) error {
	s, stop, err := j.clients().Sealer()
	if err != nil {
		return err
	}
	defer stop()
	have, err := s.SectorsList(ctx)
	if err != nil {
		return err
	}
	if len(have) > 0 { // pledged by a run that was interrupted before it could record it
		j.state.Sector = strconv.FormatUint(uint64(have[0]), 10)
		return nil
	}
	id, err := s.PledgeSector(ctx)
	if err != nil {
		return err
	}
	j.state.Sector = strconv.FormatUint(uint64(id.Number), 10)
	return nil
}

// sealPatience is how long the first sector may take: to be sealed, and its two messages on their way.
const (
	sealPatience       = 10 * time.Minute
	sealPatienceEpochs = 60
)

func (j *Journey) waitForProving(ctx context.Context) error {
	net, err := params.Load(j.net().Network())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sealPatience+sealPatienceEpochs*net.BlockDelay)
	defer cancel()
	s, stop, err := j.clients().Sealer()
	if err != nil {
		return err
	}
	defer stop()
	n, err := strconv.ParseUint(j.state.Sector, 10, 64)
	if err != nil {
		return fmt.Errorf("sector %q: %w", j.state.Sector, err)
	}
	for {
		info, err := s.SectorsStatus(ctx, abi.SectorNumber(n), false)
		if err != nil {
			return err
		}
		if info.State == "Proving" {
			return nil
		}
		if err := j.Clock.Sleep(ctx, 250*time.Millisecond); err != nil {
			return fmt.Errorf("sector %d is still in state %s: %s; see %s", n, info.State, info.LastErr, j.Layout.Log(Sealer))
		}
	}
}

// Report is what `venus-cluster status` shows.
type Report struct {
	Data     string
	Healthy  bool
	Programs []Status
	Head     abi.ChainEpoch
	// HeadAge is in seconds.
	HeadAge float64
	Miners  []MinerReport
	// Memory is the sum of all processes, bytes.
	Memory uint64
	State  *State
	Error  string `json:",omitempty"`
}

// MinerReport is the state of one miner of the cluster on chain.
type MinerReport struct {
	Miner   string
	Raw     string // power in bytes
	Sectors uint64
	Active  uint64
	Faulty  uint64
	HasMin  bool
}

// maxHeadAge is how old a head may be in a healthy cluster.
const maxHeadAge = 60

// Look gathers a report; what cannot be told is said in Error.
func Look(ctx context.Context, l Layout, clk clock.Clock) (*Report, error) {
	st, err := LoadState(l)
	if err != nil {
		return nil, err
	}
	out := &Report{Data: l.Data, State: st}
	if out.Programs, err = (Control{l}).Status(ctx); err != nil {
		out.Error = err.Error()
		return out, nil
	}
	out.Healthy = true
	for _, p := range out.Programs {
		out.Memory += p.RSS
		if p.Phase != Healthy {
			out.Healthy = false
		}
	}
	if err := out.lookAtChain(ctx, NewClients(l, st.Ports), st, clk); err != nil {
		out.Healthy, out.Error = false, err.Error()
	}
	return out, nil
}

func (r *Report) lookAtChain(ctx context.Context, c Clients, st *State, clk clock.Clock) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	n, stop, err := c.Node()
	if err != nil {
		return err
	}
	defer stop()
	head, err := n.ChainHead(ctx)
	if err != nil {
		return err
	}
	r.Head = head.Height()
	r.HeadAge = clk.Now().Sub(time.Unix(int64(head.MinTimestamp()), 0)).Seconds()
	if r.HeadAge > maxHeadAge {
		r.Healthy = false
	}
	for _, m := range []string{st.GenesisMiner, st.Miner} {
		if m == "" {
			continue
		}
		a, err := address.NewFromString(m)
		if err != nil {
			return err
		}
		power, err := n.StateMinerPower(ctx, a, types.EmptyTSK)
		if err != nil {
			return err
		}
		count, err := n.StateMinerSectorCount(ctx, a, types.EmptyTSK)
		if err != nil {
			return err
		}
		r.Miners = append(r.Miners, MinerReport{
			Miner: m, Raw: power.MinerPower.RawBytePower.String(), Sectors: count.Live, Active: count.Active, Faulty: count.Faulty, HasMin: power.HasMinPower,
		})
	}
	return nil
}
