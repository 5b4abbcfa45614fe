package genesis

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/market"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/power"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/reward"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/verifreg"
	"github.com/filecoin-project/specs-actors/v7/actors/runtime"
	"github.com/filecoin-project/specs-actors/v7/actors/util/adt"
	"github.com/filecoin-project/specs-actors/v7/actors/util/smoothing"
	"golang.org/x/crypto/blake2b"

	"github.com/filecoin-venus/venus/vm"
)

// maxDealsPerMessage bounds one publication: decoders take no longer lists.
const maxDealsPerMessage = 8192

// maxLifetimeEpochs is the furthest a sector's expiration may lie ahead, a
// constant of the actors.
const maxLifetimeEpochs = miner.MaxSectorExpirationExtension

// errNoRandomness says that set-up asked for chain randomness: there is none
// before there is a chain.
var errNoRandomness = errors.New("there is no randomness before genesis")

type noRand struct{}

func (noRand) TicketRandomness(context.Context, crypto.DomainSeparationTag, abi.ChainEpoch, []byte) ([]byte, error) {
	return nil, errNoRandomness
}

func (noRand) BeaconRandomness(context.Context, crypto.DomainSeparationTag, abi.ChainEpoch, []byte) ([]byte, error) {
	return nil, errNoRandomness
}

// setupSyscalls accepts every signature, for genesis deals carry none, and
// hashes. Set-up calls nothing else; a call of another primitive ends the
// message as a panic.
type setupSyscalls struct{ runtime.Syscalls }

func (setupSyscalls) VerifySignature(crypto.Signature, address.Address, []byte) error { return nil }

func (setupSyscalls) HashBlake2b(data []byte) [32]byte { return blake2b.Sum256(data) }

// startMachine opens the set-up machine (node-nv15.md 4.3).
func (b *builder) startMachine() error {
	root, err := b.tree.Flush(b.ctx)
	if err != nil {
		return err
	}
	b.machine, err = vm.New(b.ctx, vm.Config{
		Blocks: b.buf, StateRoot: root, Epoch: 0, BaseFee: big.Zero(), CircSupply: big.Zero(),
		Network: b.net, Rand: noRand{},
		Syscalls: func(vm.Call) vm.Syscalls { return setupSyscalls{} },
	})
	return err
}

// minerPlan is what is known of a template's miner before its sectors commit.
type minerPlan struct {
	*Miner
	window     abi.RegisteredPoStProof
	expiration abi.ChainEpoch
	// deals are the IDs of the sectors' deals, by index of the sector.
	deals map[int]abi.DealID
}

func (b *builder) makeMiners() error {
	if err := b.grantDataCap(); err != nil {
		return fmt.Errorf("data cap of genesis deals: %w", err)
	}
	plans := make([]*minerPlan, len(b.tmpl.Miners))
	for i := range b.tmpl.Miners {
		p, err := b.createMiner(&b.tmpl.Miners[i])
		if err != nil {
			return fmt.Errorf("miner %s: %w", b.tmpl.Miners[i].ID, err)
		}
		plans[i] = p
	}
	return b.commitAll(plans)
}

// grantDataCap makes f081 a verifier and the deals' clients verified, for
// exactly the bytes of their deals.
func (b *builder) grantDataCap() error {
	total := big.Zero()
	var clients []address.Address
	each := map[address.Address]abi.StoragePower{}
	for _, m := range b.tmpl.Miners {
		for _, s := range m.Sectors {
			if s.Deal == nil {
				continue
			}
			client := s.Deal.Client
			if _, seen := each[client]; !seen {
				clients = append(clients, client)
				each[client] = big.Zero()
			}
			size := big.NewIntUnsigned(uint64(s.Deal.PieceSize))
			each[client] = big.Add(each[client], size)
			total = big.Add(total, size)
		}
	}
	if len(clients) == 0 {
		return nil
	}
	root, err := idAddress(rootVerifierID)
	if err != nil {
		return err
	}
	verifier, err := idAddress(firstVerifierID)
	if err != nil {
		return err
	}
	registry := builtin.VerifiedRegistryActorAddr
	if _, err := b.exec(root, registry, 0, big.Zero(), builtin.MethodsVerifiedRegistry.AddVerifier,
		&verifreg.AddVerifierParams{Address: verifier, Allowance: total}); err != nil {
		return err
	}
	for _, c := range clients {
		if _, err := b.exec(verifier, registry, 0, big.Zero(), builtin.MethodsVerifiedRegistry.AddVerifiedClient,
			&verifreg.AddVerifiedClientParams{Address: c, Allowance: each[c]}); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) createMiner(m *Miner) (*minerPlan, error) {
	seal, err := b.net.SealProof(m.SectorSize)
	if err != nil {
		return nil, err
	}
	p := &minerPlan{Miner: m, deals: map[int]abi.DealID{}}
	if p.window, err = seal.RegisteredWindowPoStProof(); err != nil {
		return nil, err
	}
	for _, key := range []address.Address{m.Owner, m.Worker} {
		if _, ok := b.ids[key]; !ok {
			return nil, fmt.Errorf("owner or worker %s is no account of the template", key)
		}
	}
	nonce := b.madeBy[m.Owner]
	b.madeBy[m.Owner]++
	raw, err := b.exec(m.Owner, builtin.StoragePowerActorAddr, nonce, m.PowerBalance, builtin.MethodsPower.CreateMiner,
		&power.CreateMinerParams{Owner: m.Owner, Worker: m.Worker, WindowPoStProofType: p.window, Peer: []byte(m.PeerId)})
	if err != nil {
		return nil, err
	}
	var made power.CreateMinerReturn
	if err := made.UnmarshalCBOR(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("decode return of CreateMiner: %w", err)
	}
	if made.IDAddress != m.ID {
		return nil, fmt.Errorf("made as %s", made.IDAddress)
	}
	var st miner.State
	if err := b.load(m.ID, &st); err != nil {
		return nil, err
	}
	periods := maxLifetimeEpochs / b.net.ProvingPeriod()
	p.expiration = (periods-1)*b.net.ProvingPeriod() + st.ProvingPeriodStart - 1

	if m.MarketBalance.Sign() > 0 {
		if _, err := b.exec(m.Worker, builtin.StorageMarketActorAddr, 0, m.MarketBalance, builtin.MethodsMarket.AddBalance, &m.ID); err != nil {
			return nil, err
		}
	}
	return p, b.publishDeals(p)
}

func (b *builder) publishDeals(p *minerPlan) error {
	var batch []market.ClientDealProposal
	var sectors []int
	publish := func() error {
		if len(batch) == 0 {
			return nil
		}
		raw, err := b.exec(p.Worker, builtin.StorageMarketActorAddr, 0, big.Zero(), builtin.MethodsMarket.PublishStorageDeals,
			&market.PublishStorageDealsParams{Deals: batch})
		if err != nil {
			return err
		}
		var out market.PublishStorageDealsReturn
		if err := out.UnmarshalCBOR(bytes.NewReader(raw)); err != nil {
			return fmt.Errorf("decode return of PublishStorageDeals: %w", err)
		}
		if len(out.IDs) != len(batch) {
			return fmt.Errorf("the market took %d of %d deals", len(out.IDs), len(batch))
		}
		for i, id := range out.IDs {
			p.deals[sectors[i]] = id
		}
		batch, sectors = nil, nil
		return nil
	}
	for i, s := range p.Sectors {
		if s.Deal == nil {
			continue
		}
		deal := *s.Deal
		deal.VerifiedDeal = true
		deal.StartEpoch, deal.EndEpoch = 0, p.expiration
		batch = append(batch, market.ClientDealProposal{Proposal: deal, ClientSignature: crypto.Signature{Type: crypto.SigTypeBLS}})
		if sectors = append(sectors, i); len(batch) == maxDealsPerMessage {
			if err := publish(); err != nil {
				return err
			}
		}
	}
	return publish()
}

// qaPower is the quality-adjusted power of a sector, by its deal if it has one.
func (p *minerPlan) qaPower(i int) abi.StoragePower {
	verified := big.Zero()
	if d := p.Sectors[i].Deal; d != nil {
		verified = big.Mul(big.NewInt(int64(p.expiration)), big.NewIntUnsigned(uint64(d.PieceSize)))
	}
	return miner.QAPowerForWeight(p.SectorSize, p.expiration, big.Zero(), verified)
}

// commitAll makes all sectors active. Totals stand at their final values while
// each sector is pledged for, less its own share, so that no sector's pledge
// depends on the order (node-nv15.md 4.4 f-h).
func (b *builder) commitAll(plans []*minerPlan) error {
	raw, qa := big.Zero(), big.Zero()
	for _, p := range plans {
		for i := range p.Sectors {
			raw = big.Add(raw, big.NewIntUnsigned(uint64(p.SectorSize)))
			qa = big.Add(qa, p.qaPower(i))
		}
	}
	var pow power.State
	err := b.patch(builtin.StoragePowerActorAddr, &pow, func() error {
		pow.TotalRawBytePower, pow.TotalQualityAdjPower = raw, qa
		pow.ThisEpochRawBytePower, pow.ThisEpochQualityAdjPower = raw, qa
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range plans {
		for i := range p.Sectors {
			if err := b.commit(p, i); err != nil {
				return fmt.Errorf("sector %d of miner %s: %w", p.Sectors[i].SectorID, p.ID, err)
			}
		}
		if err := b.markProven(p); err != nil {
			return fmt.Errorf("activate sectors of miner %s: %w", p.ID, err)
		}
	}
	if err := b.load(builtin.StoragePowerActorAddr, &pow); err != nil {
		return err
	}
	if !pow.TotalRawBytePower.Equals(raw) || !pow.TotalQualityAdjPower.Equals(qa) {
		return fmt.Errorf("total power is %s raw, %s adjusted, want %s and %s: every genesis miner needs at least %s bytes of sectors",
			pow.TotalRawBytePower, pow.TotalQualityAdjPower, raw, qa, b.net.MinConsensusPower)
	}
	return nil
}

// commit takes one sector through pre-commit and proof.
func (b *builder) commit(p *minerPlan, i int) error {
	s := p.Sectors[i]
	size, qa := big.NewIntUnsigned(uint64(p.SectorSize)), p.qaPower(i)
	var pow power.State
	err := b.patch(builtin.StoragePowerActorAddr, &pow, func() error {
		pow.TotalRawBytePower = big.Sub(pow.TotalRawBytePower, size)
		pow.TotalQualityAdjPower = big.Sub(pow.TotalQualityAdjPower, qa)
		return nil
	})
	if err != nil {
		return err
	}
	var rew reward.State
	if err := b.load(builtin.RewardActorAddr, &rew); err != nil {
		return err
	}
	info := &miner.PreCommitSectorParams{
		SealProof: newestSealProof(s.ProofType), SectorNumber: s.SectorID, SealedCID: s.CommR,
		SealRandEpoch: -1, Expiration: p.expiration,
	}
	if s.Deal != nil {
		info.DealIDs = []abi.DealID{p.deals[i]}
	}
	if _, err := b.exec(p.Worker, p.ID, 0, sectorValue(&rew, &pow, qa), builtin.MethodsMiner.PreCommitSector, info); err != nil {
		return err
	}
	zero := smoothing.NewEstimate(big.Zero(), big.Zero())
	if _, err := b.exec(builtin.StoragePowerActorAddr, p.ID, 0, big.Zero(), builtin.MethodsMiner.ConfirmSectorProofsValid,
		&builtin.ConfirmSectorProofsParams{
			Sectors: []abi.SectorNumber{s.SectorID}, RewardSmoothed: zero,
			RewardBaselinePower: big.Zero(), QualityAdjPowerSmoothed: zero,
		}); err != nil {
		return err
	}
	_, err = b.exec(p.ID, builtin.StoragePowerActorAddr, 0, big.Zero(), builtin.MethodsPower.UpdateClaimedPower,
		&power.UpdateClaimedPowerParams{RawByteDelta: size, QualityAdjustedDelta: qa})
	return err
}

// sectorValue is what a worker sends along for a sector: deposit and pledge by
// the actors' own estimates. The pledge finally taken is one attoFIL; the rest
// stays with the miner as available balance.
func sectorValue(rew *reward.State, pow *power.State, qa abi.StoragePower) abi.TokenAmount {
	deposit := miner.PreCommitDepositForPower(rew.ThisEpochRewardSmoothed, pow.ThisEpochQAPowerSmoothed, qa)
	pledge := miner.InitialPledgeForPower(qa, rew.ThisEpochBaselinePower, rew.ThisEpochRewardSmoothed, pow.ThisEpochQAPowerSmoothed, big.Zero())
	return big.Add(deposit, pledge)
}

// newestSealProof raises a proof type of the first kind to the second, the only
// one that can be committed.
func newestSealProof(t abi.RegisteredSealProof) abi.RegisteredSealProof {
	if t < abi.RegisteredSealProof_StackedDrg2KiBV1_1 {
		return t + abi.RegisteredSealProof_StackedDrg2KiBV1_1
	}
	return t
}

// markProven clears the unproven marks that wait for a first proof.
func (b *builder) markProven(p *minerPlan) error {
	store := adt.WrapStore(b.ctx, b.machine.Tree().Store())
	var st miner.State
	return b.patch(p.ID, &st, func() error {
		deadlines, err := st.LoadDeadlines(store)
		if err != nil {
			return err
		}
		err = deadlines.ForEach(store, func(i uint64, d *miner.Deadline) error {
			parts, err := d.PartitionsArray(store)
			if err != nil || parts.Length() == 0 {
				return err
			}
			for n := range parts.Length() {
				var part miner.Partition
				if found, err := parts.Get(n, &part); err != nil || !found {
					return fmt.Errorf("partition %d of deadline %d: found %t: %w", n, i, found, err)
				}
				part.Unproven, part.UnprovenPower = bitfield.New(), miner.NewPowerPairZero()
				if err := parts.Set(n, &part); err != nil {
					return err
				}
			}
			if d.Partitions, err = parts.Root(); err != nil {
				return err
			}
			return deadlines.UpdateDeadline(store, i, d)
		})
		if err != nil {
			return err
		}
		return st.SaveDeadlines(store, deadlines)
	})
}
