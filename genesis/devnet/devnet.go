// Package devnet makes everything a private network starts from: keys, really
// sealed sectors, a beacon, and the genesis file that carries the network's
// parameters.
//
// Start at [New]. It writes one folder, laid out as [Layout] tells, and is
// repeatable: with the same seed and timestamp every file comes out the same.
// [Rebuild] makes the genesis file again from its template.
package devnet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	gscrypto "github.com/filecoin-project/go-state-types/crypto"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/beacon"
	"github.com/filecoin-venus/venus/crypto"
	"github.com/filecoin-venus/venus/genesis"
	"github.com/filecoin-venus/venus/internal/clock"
	"github.com/filecoin-venus/venus/internal/fsutil"
	"github.com/filecoin-venus/venus/ipld"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/params/policy"
	"github.com/filecoin-venus/venus/proofs/seal"
	"github.com/filecoin-venus/venus/types"
)

// Options say what to make.
type Options struct {
	// Network is a private network's parameters; its beacon and proof seed are
	// made here.
	Network params.Network
	// Dir is the folder to make; it must not hold a network yet.
	Dir string
	// Timestamp of the genesis block, Unix seconds; 0 means the time by Clock when all sectors are sealed, so that the
	// chain need not make up for hours of sealing.
	Timestamp uint64
	Clock     clock.Clock
	// Miners and SectorsPerMiner exist from the start; at least one each.
	Miners, SectorsPerMiner int
	// SectorSize must be one of the network's; 0 means its smallest.
	SectorSize abi.SectorSize
	// FaucetFIL is the faucet's balance in whole FIL; 0 means 100 million.
	FaucetFIL int64
	// BeaconServers are the URLs that nodes fetch the private beacon from.
	BeaconServers []string
	// Seed makes all keys; nil draws them from the system's randomness.
	Seed []byte
	// Progress, when set, hears what is being made.
	Progress func(string)
}

// Layout are the places in a network's folder.
type Layout struct{ Dir string }

// Genesis is the genesis CAR with the network's parameters.
func (l Layout) Genesis() string { return filepath.Join(l.Dir, "genesis.car") }

// Network is the network file (params.Load).
func (l Layout) Network() string { return filepath.Join(l.Dir, "network.json") }

// Template is the genesis template the CAR is built from.
func (l Layout) Template() string { return filepath.Join(l.Dir, "template.json") }

// BeaconKey is the beacon's secret, hex, mode 0600.
func (l Layout) BeaconKey() string { return filepath.Join(l.Dir, "beacon.key") }

// FaucetKey is the faucet account's key in the field's export form, mode 0600.
func (l Layout) FaucetKey() string { return filepath.Join(l.Dir, "keys", "faucet.key") }

// MinerKey is a miner's owner and worker key in the field's export form, mode 0600.
func (l Layout) MinerKey(m address.Address) string {
	return filepath.Join(l.Dir, "keys", "miner-"+name(m)+".key")
}

// MinerDir holds a miner's pre-sealed sectors in the layout of a storage path,
// with their metadata in pre-seal-MINER.json.
func (l Layout) MinerDir(m address.Address) string { return filepath.Join(l.Dir, "miners", name(m)) }

// PreSeal is the metadata of a miner's pre-sealed sectors: a map from its
// address to the record in the template, as the field's tools write it.
func (l Layout) PreSeal(m address.Address) string {
	return filepath.Join(l.MinerDir(m), "pre-seal-"+name(m)+".json")
}

// name is a miner in file names, whatever prefix addresses print with.
func name(m address.Address) string { return "t" + m.String()[1:] }

const (
	minerFIL         = 50_000_000
	defaultFaucetFIL = 100_000_000
)

// New makes a network. On failure what was made stays for a look; the folder
// counts as a network only once its genesis file is there.
func New(ctx context.Context, o Options) (params.Network, error) {
	l := Layout{o.Dir}
	if err := prepare(&o, l); err != nil {
		return params.Network{}, err
	}
	tmpl, err := genesis.NewTemplate(o.Network.GenesisName, o.Timestamp)
	if err != nil {
		return params.Network{}, err
	}
	sealer := seal.New(seal.Config{Clock: o.Clock, Progress: o.sealing()})
	defer sealer.Close()
	for i := range o.Miners {
		if err := addMiner(ctx, o, l, sealer, tmpl, i); err != nil {
			return params.Network{}, err
		}
	}
	if o.Timestamp == 0 {
		o.Timestamp = uint64(o.Clock.Now().Unix())
		tmpl.Timestamp = o.Timestamp
	}
	net, err := network(o, l)
	if err != nil {
		return params.Network{}, err
	}
	faucet, err := key(o, l.FaucetKey(), "faucet")
	if err != nil {
		return params.Network{}, err
	}
	account, err := genesis.NewAccount(faucet, big.Mul(big.NewInt(o.FaucetFIL), types.AttoPerFIL))
	if err != nil {
		return params.Network{}, err
	}
	tmpl.Accounts = append(tmpl.Accounts, account)
	if err := saveJSON(l.Template(), tmpl, 0o644); err != nil {
		return params.Network{}, err
	}
	o.say("building the genesis block")
	return build(ctx, l, net, *tmpl)
}

func (o Options) say(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// longPhase is how many bytes of work take more than a moment.
const longPhase = 256 << 20

// sealing tells of every quarter of a long phase.
func (o Options) sealing() func(seal.Progress) {
	var phase string
	var quarter int
	return func(p seal.Progress) {
		if p.Phase != phase {
			phase, quarter = p.Phase, 0
		}
		if now := int(p.Percent() / 25); p.Total >= longPhase && now > quarter {
			quarter = now
			o.say("sector %d: %s %.0f%%", p.Sector.Number, p.Phase, p.Percent())
		}
	}
}

func prepare(o *Options, l Layout) error {
	if !o.Network.Devnet {
		return api.Errorf(api.CodeInvalid, "network %s is public: its genesis cannot be made", o.Network.Name).WithHint("import it with venus daemon --genesisfile")
	}
	if _, err := os.Stat(l.Genesis()); err == nil {
		return fmt.Errorf("%s holds a network already; choose another folder", o.Dir)
	}
	if o.Miners < 1 || o.SectorsPerMiner < 1 {
		return errors.New("a network needs at least one miner with one sector: without power no block can be mined")
	}
	if o.Timestamp == 0 && o.Clock == nil {
		return errors.New("neither a genesis timestamp nor a clock is given")
	}
	if o.SectorSize == 0 {
		o.SectorSize = o.Network.SectorSizes[0]
	}
	if o.FaucetFIL == 0 {
		o.FaucetFIL = defaultFaucetFIL
	}
	if _, err := o.Network.SealProof(o.SectorSize); err != nil {
		return err
	}
	for _, dir := range []string{o.Dir, filepath.Join(o.Dir, "keys")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make network folder: %w", err)
		}
	}
	return nil
}

// secret gives 32 bytes for a purpose: derived from the seed, or random.
func (o Options) secret(purpose string) ([]byte, error) {
	if o.Seed != nil {
		sum := blake2b.Sum256(append(append([]byte("venus devnet "), purpose...), o.Seed...))
		return sum[:], nil
	}
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	return b, nil
}

// network gives the parameters their beacon and proof seed.
func network(o Options, l Layout) (params.Network, error) {
	net := o.Network
	seed, err := o.secret("proofs")
	if err != nil {
		return net, err
	}
	net.ProofSeed = seed
	secret, err := o.secret("beacon")
	if err != nil {
		return net, err
	}
	k, err := beacon.NewKey(secret)
	if err != nil {
		return net, fmt.Errorf("make beacon key: %w", err)
	}
	if err := fsutil.WriteFileAtomic(l.BeaconKey(), []byte(hex.EncodeToString(k.Bytes())+"\n"), 0o600); err != nil {
		return net, err
	}
	// Round 1 is due one epoch before genesis, so that a block's round has been
	// public for a while when the block is made.
	start := int64(o.Timestamp) - int64(net.BlockDelay/time.Second)
	net.Beacons = []params.Beacon{k.Info(net.GenesisName, start, net.BlockDelay).Params(o.BeaconServers...)}
	return net, net.Validate()
}

func key(o Options, path, purpose string) (address.Address, error) {
	seed, err := o.secret(purpose)
	if err != nil {
		return address.Undef, err
	}
	priv, err := crypto.GenerateKeyFromSeed(gscrypto.SigTypeBLS, seed)
	if err != nil {
		return address.Undef, fmt.Errorf("make key of %s: %w", purpose, err)
	}
	text, err := json.Marshal(types.KeyInfo{Type: types.KeyBLS, PrivateKey: priv})
	if err != nil {
		return address.Undef, fmt.Errorf("encode key of %s: %w", purpose, err)
	}
	if err := fsutil.WriteFileAtomic(path, []byte(hex.EncodeToString(text)), 0o600); err != nil {
		return address.Undef, err
	}
	return crypto.AddressFor(gscrypto.SigTypeBLS, priv)
}

// firstMiner is the ID of a template's first miner.
const firstMiner = 1000

func addMiner(ctx context.Context, o Options, l Layout, sealer *seal.Sealer, tmpl *genesis.Template, index int) error {
	id, err := address.NewIDAddress(uint64(firstMiner + index))
	if err != nil {
		return err
	}
	owner, err := key(o, l.MinerKey(id), fmt.Sprintf("miner %d", index))
	if err != nil {
		return err
	}
	m := genesis.Miner{ID: id, Owner: owner, Worker: owner, MarketBalance: big.Zero(), PowerBalance: big.Zero(), SectorSize: o.SectorSize}
	proof, err := o.Network.SealProof(o.SectorSize)
	if err != nil {
		return err
	}
	for n := range o.SectorsPerMiner {
		o.say("sealing sector %d of miner %s", n, id)
		sector := seal.Sector{ID: abi.SectorID{Miner: abi.ActorID(firstMiner + index), Number: abi.SectorNumber(n)}, Proof: proof}
		p, err := preSeal(ctx, sealer, sector, l.MinerDir(id), o.SectorSize)
		if err != nil {
			return err
		}
		m.Sectors = append(m.Sectors, p)
	}
	if err := tmpl.AddMiner(m); err != nil {
		return err
	}
	return saveJSON(l.PreSeal(id), map[string]genesis.Miner{name(id): m}, 0o644)
}

// PreSealTicket is the ticket of a sector sealed before the chain exists.
func PreSealTicket(id abi.SectorID) abi.SealRandomness {
	sum := blake2b.Sum256(fmt.Appendf(nil, "pre-seal t0%d %d", id.Miner, id.Number))
	sum[31] &= 0x3f
	return sum[:]
}

// preSeal seals a sector of committed capacity.
func preSeal(ctx context.Context, sealer *seal.Sealer, sector seal.Sector, root string, size abi.SectorSize) (*genesis.PreSeal, error) {
	paths := seal.PathsIn(root, sector.ID)
	piece, err := sealer.AddPiece(ctx, sector, paths, nil, abi.PaddedPieceSize(size).Unpadded(), nil)
	if err != nil {
		return nil, err
	}
	pieces := []abi.PieceInfo{piece}
	pc1, err := sealer.PreCommit1(ctx, sector, paths, PreSealTicket(sector.ID), pieces)
	if err != nil {
		return nil, err
	}
	cids, err := sealer.PreCommit2(ctx, sector, paths, pc1)
	if err != nil {
		return nil, err
	}
	if err := sealer.Finalize(ctx, paths); err != nil {
		return nil, err
	}
	return &genesis.PreSeal{CommR: cids.Sealed, CommD: cids.Unsealed, SectorID: sector.ID.Number, ProofType: sector.Proof}, nil
}

// build makes the genesis and writes the files that name it; the genesis file
// comes last, it makes the folder a network.
func build(ctx context.Context, l Layout, net params.Network, tmpl genesis.Template) (params.Network, error) {
	if err := policy.Apply(net); err != nil {
		return net, err
	}
	bs := ipld.NewMemory()
	h, err := genesis.Build(ctx, bs, net, tmpl)
	if err != nil {
		return net, err
	}
	net.GenesisCID = h.Cid().String()
	if err := net.Save(l.Network()); err != nil {
		return net, err
	}
	tmp := l.Genesis() + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return net, fmt.Errorf("write genesis: %w", err)
	}
	defer os.Remove(tmp)
	err = genesis.WriteFile(ctx, f, bs, h, net)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return net, fmt.Errorf("write genesis: %w", err)
	}
	if err := os.Rename(tmp, l.Genesis()); err != nil {
		return net, fmt.Errorf("write genesis: %w", err)
	}
	return net, fsutil.SyncDir(l.Dir)
}

// Rebuild makes the genesis file again from template and network file in a
// folder; it comes out bit for bit the same.
func Rebuild(ctx context.Context, dir string) (params.Network, error) {
	l := Layout{dir}
	net, err := params.Load(l.Network())
	if err != nil {
		return net, err
	}
	tmpl, err := genesis.LoadTemplate(l.Template())
	if err != nil {
		return net, err
	}
	want := net.GenesisCID
	net.GenesisCID = ""
	if net, err = build(ctx, l, net, *tmpl); err != nil {
		return net, err
	}
	if want != "" && want != net.GenesisCID {
		return net, fmt.Errorf("template gives genesis %s, the network file said %s", net.GenesisCID, want)
	}
	return net, nil
}

func saveJSON(path string, v any, perm os.FileMode) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return fsutil.WriteFileAtomic(path, append(b, '\n'), perm)
}
