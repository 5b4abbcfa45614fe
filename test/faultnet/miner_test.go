//go:build linux

package faultnet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/stretchr/testify/require"

	miningapi "github.com/filecoin-venus/venus/api/mining"
	walletapi "github.com/filecoin-venus/venus/api/wallet"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/sqldb"
	"github.com/filecoin-venus/venus/mining"
	"github.com/filecoin-venus/venus/mining/record"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/types"
	"github.com/filecoin-venus/venus/wallet/typed"
)

// miner is venus-miner's service in this process, for one miner at one node, with its record of signed blocks on disk. Its
// wallet and sealer are the programs' own parts without the processes around them.
type miner struct {
	*mining.Service
	id   address.Address
	addr address.Address
	key  types.KeyInfo
	sent atomic.Int64 // messages
}

// wrongClock is a node's clock, as wrong as the node's.
type wrongClock struct {
	clock.Clock
	by *atomic.Int64
}

func (c wrongClock) Now() time.Time { return c.Clock.Now().Add(time.Duration(c.by.Load())) }

func (w *world) newMiner(n *node) *miner {
	id, err := address.NewIDAddress(uint64(1000 + n.index))
	require.NoError(w.t, err)
	m := &miner{id: id, key: w.minerKey(id)}
	m.addr, err = crypto.AddressFor(gscrypto.SigTypeBLS, m.key.PrivateKey)
	require.NoError(w.t, err)
	dir := filepath.Join(w.dir, "miner"+strconv.Itoa(n.index))
	require.NoError(w.t, os.MkdirAll(dir, 0o700))
	records, err := record.Open(w.t.Context(), sqldb.Config{Path: filepath.Join(dir, "mining.db")})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, records.Close()) })
	m.Service, err = mining.NewService(mining.Parts{
		Nodes: []mining.NamedNode{{Name: "node", Node: n.rpc}}, Timing: mining.Timing{BlockDelay: w.net.BlockDelay, Propagation: w.net.PropagationDelay},
		Connect: func(miningapi.MinerSpec) (mining.Services, error) {
			return mining.Services{Wallet: m, Sealer: prover{w, id}, Close: func() {}}, nil
		},
		Clock: wrongClock{clock.Real(), &n.offset}, Version: "test", MinersFile: filepath.Join(dir, "miners.json"), Records: records,
	})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, m.Close()) })
	require.NoError(w.t, m.AddAddress(w.t.Context(), miningapi.MinerSpec{Addr: id}))
	return m
}

// WalletSign implements mining.Signer as venus-wallet does: what is signed is judged by its type.
func (m *miner) WalletSign(_ context.Context, signer address.Address, raw []byte, meta walletapi.MsgMeta) (*gscrypto.Signature, error) {
	p, err := typed.Prepare(meta.Type, signer, raw, meta.Extra)
	if err != nil {
		return nil, err
	}
	return crypto.Sign(gscrypto.SigTypeBLS, m.key.PrivateKey, p.Bytes)
}

// WalletHas implements mining.Signer.
func (m *miner) WalletHas(_ context.Context, a address.Address) (bool, error) {
	return a == m.addr, nil
}

// prover proves a miner's sectors.
type prover struct {
	w     *world
	miner address.Address
}

// ComputeProof implements mining.Prover.
func (p prover) ComputeProof(ctx context.Context, sectors []proof.ExtendedSectorInfo, r abi.PoStRandomness) ([]proof.PoStProof, error) {
	number, err := address.IDFromAddress(p.miner)
	if err != nil {
		return nil, err
	}
	var refs []seal.SectorRef
	for _, s := range sectors {
		id := abi.SectorID{Miner: abi.ActorID(number), Number: s.SectorNumber}
		refs = append(refs, seal.SectorRef{
			Sector: seal.Sector{ID: id, Proof: s.SealProof}, SealedCID: s.SealedCID, Paths: seal.PathsIn(p.w.layout.MinerDir(p.miner), id),
		})
	}
	return p.w.sealer.WinningPoSt(ctx, abi.ActorID(number), refs, r)
}

// ActorAddress implements mining.Prover.
func (p prover) ActorAddress(context.Context) (address.Address, error) { return p.miner, nil }

// pay pushes a payment of the miner's owner to the node, so that the states of two sides of a split differ in more than
// rewards. What cannot be pushed now is not.
func (m *miner) pay(ctx context.Context, n *node, to address.Address) error {
	ctx, cancel := context.WithTimeout(ctx, blockDelay)
	defer cancel()
	nonce, err := n.rpc.MpoolGetNonce(ctx, m.addr)
	if err != nil {
		return err
	}
	msg := types.Message{
		From: m.addr, To: to, Nonce: nonce, Value: big.NewInt(1 + m.sent.Load()), GasLimit: 10_000_000,
		GasFeeCap: big.NewInt(10 * params.InitialBaseFee), GasPremium: big.NewInt(params.InitialBaseFee / 1000),
	}
	sig, err := crypto.Sign(gscrypto.SigTypeBLS, m.key.PrivateKey, msg.Cid().Bytes())
	if err != nil {
		return err
	}
	if _, err := n.rpc.MpoolPush(ctx, &types.SignedMessage{Message: msg, Signature: *sig}); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	m.sent.Add(1)
	return nil
}
