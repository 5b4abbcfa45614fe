package wdpost

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/sealer/messages"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

// partitions reads a deadline's partitions at the latest head.
func (s *Shell) partitions(ctx context.Context, index uint64, at types.TipSetKey) ([]Partition, error) {
	list, err := s.parts.Chain.StateMinerPartitions(ctx, s.set.Miner, index, at)
	if err != nil {
		return nil, fmt.Errorf("read partitions of deadline %d: %w", index, err)
	}
	out := make([]Partition, len(list))
	for i, p := range list {
		out[i] = Partition{Index: uint64(i), All: p.AllSectors, Live: p.LiveSectors, Faulty: p.FaultySectors, Recovering: p.RecoveringSectors}
	}
	return out, nil
}

// proven reads which partitions of a deadline the chain has as proven in its
// present opening; none before it opened.
func (s *Shell) proven(ctx context.Context, w Window) (bitfield.BitField, error) {
	head := s.parts.Heads.Latest()
	if head.Epoch < w.Open || head.Epoch >= w.Close {
		return bitfield.New(), nil
	}
	ds, err := s.parts.Chain.StateMinerDeadlines(ctx, s.set.Miner, head.Key)
	if err != nil {
		return bitfield.New(), fmt.Errorf("read deadlines: %w", err)
	}
	if w.Index >= uint64(len(ds)) {
		return bitfield.New(), fmt.Errorf("the node lists %d deadlines, wanted number %d", len(ds), w.Index)
	}
	return ds[w.Index].PostSubmissions, nil
}

func (s *Shell) load(ctx context.Context, w Window) ([]Event, error) {
	parts, err := s.partitions(ctx, w.Index, s.parts.Heads.Latest().Key)
	if err != nil {
		return nil, err
	}
	done, err := s.proven(ctx, w)
	if err != nil {
		return nil, err
	}
	g, err := groups(parts, done, s.set.MaxPartitions)
	if err != nil {
		return nil, err
	}
	if len(g) > 0 {
		log.Infow("running window post", "deadline", w.Index, "open", w.Open, "close", w.Close, "groups", len(g))
	}
	return []Event{PartitionsLoaded{Open: w.Open, Groups: g}}, nil
}

// entropy is the miner's address as draws of randomness take it.
func (s *Shell) entropy() ([]byte, error) {
	var b bytes.Buffer
	if err := s.set.Miner.MarshalCBOR(&b); err != nil {
		return nil, fmt.Errorf("encode miner address: %w", err)
	}
	return b.Bytes(), nil
}

func (s *Shell) challenge(ctx context.Context, w Window) (abi.PoStRandomness, error) {
	ent, err := s.entropy()
	if err != nil {
		return nil, err
	}
	r, err := s.parts.Chain.StateGetRandomnessFromBeacon(ctx, crypto.DomainSeparationTag_WindowedPoStChallengeSeed, w.Challenge, ent, s.parts.Heads.Latest().Key)
	if err != nil {
		return nil, fmt.Errorf("draw the challenge of epoch %d: %w", w.Challenge, err)
	}
	return abi.PoStRandomness(r), nil
}

// maxRounds bounds how often bad sectors found while proving are left out and
// the rest is proven again.
const maxRounds = 5

// prove makes and checks the proof of a group.
func (s *Shell) prove(ctx context.Context, w Window, group int) ([]Event, error) {
	head := s.parts.Heads.Latest()
	all, err := s.partitions(ctx, w.Index, head.Key)
	if err != nil {
		return nil, err
	}
	var parts []Partition
	for _, i := range w.Groups[group].Partitions {
		if i >= uint64(len(all)) {
			return nil, fmt.Errorf("deadline %d has no partition %d any more", w.Index, i)
		}
		parts = append(parts, all[i])
	}
	infos, err := s.sectorInfos(ctx, parts, head.Key)
	if err != nil {
		return nil, err
	}
	bad, err := s.checked(ctx, infos)
	if err != nil {
		return nil, err
	}
	r, err := s.challenge(ctx, w)
	if err != nil {
		return nil, err
	}
	for range maxRounds {
		order, good, skipped, err := statement(parts, bad)
		if err != nil {
			return nil, err
		}
		if len(order) == 0 {
			return []Event{ProofReady{Open: w.Open, Group: group, Why: "no sector of these partitions can be proven"}}, nil
		}
		list, err := pick(order, infos)
		if err != nil {
			return nil, err
		}
		proofs, faulty, err := s.parts.Prover.WindowPoSt(ctx, list, r)
		if len(faulty) > 0 {
			log.Warnw("sectors cannot be proven and are left out", "deadline", w.Index, "sectors", faulty)
			for _, n := range faulty {
				bad.Set(uint64(n))
			}
			continue // the statement changed with what is left out
		}
		if err != nil {
			return nil, fmt.Errorf("prove deadline %d: %w", w.Index, err)
		}
		ok, err := s.parts.Verifier.VerifyWindowPoSt(ctx, proof.WindowPoStVerifyInfo{Randomness: slices.Clone(r), Proofs: proofs, ChallengedSectors: list, Prover: s.set.Config.Miner})
		if err != nil {
			return nil, fmt.Errorf("check the proof of deadline %d: %w", w.Index, err)
		}
		if !ok {
			return nil, fmt.Errorf("our own check refused the proof of deadline %d; it was not sent", w.Index)
		}
		n, err := good.Count()
		if err != nil {
			return nil, fmt.Errorf("count sectors: %w", err)
		}
		return []Event{ProofReady{Open: w.Open, Group: group, Proof: &Proof{Randomness: r, Proofs: proofs, Skipped: skipped, Sectors: n}}}, nil
	}
	return nil, fmt.Errorf("deadline %d: every try found more sectors that cannot be proven", w.Index)
}

// sectorInfos reads the statements of all sectors that are to be proven.
func (s *Shell) sectorInfos(ctx context.Context, parts []Partition, at types.TipSetKey) (map[abi.SectorNumber]proof.SectorInfo, error) {
	var fields []bitfield.BitField
	for _, p := range parts {
		want, err := p.toProve()
		if err != nil {
			return nil, err
		}
		fields = append(fields, want)
	}
	all, err := bitfield.MultiMerge(fields...)
	if err != nil {
		return nil, fmt.Errorf("merge sectors: %w", err)
	}
	return s.infosOf(ctx, all, at)
}

func (s *Shell) infosOf(ctx context.Context, want bitfield.BitField, at types.TipSetKey) (map[abi.SectorNumber]proof.SectorInfo, error) {
	out := map[abi.SectorNumber]proof.SectorInfo{}
	if empty, err := want.IsEmpty(); err != nil || empty {
		return out, err
	}
	list, err := s.parts.Chain.StateMinerSectors(ctx, s.set.Miner, &want, at)
	if err != nil {
		return nil, fmt.Errorf("read sectors: %w", err)
	}
	for _, i := range list {
		out[i.SectorNumber] = proof.SectorInfo{SealProof: i.SealProof, SectorNumber: i.SectorNumber, SealedCID: i.SealedCID}
	}
	return out, nil
}

// checked looks at the files and returns the sectors that cannot be proven.
func (s *Shell) checked(ctx context.Context, infos map[abi.SectorNumber]proof.SectorInfo) (bitfield.BitField, error) {
	bad := bitfield.New()
	list := make([]proof.SectorInfo, 0, len(infos))
	for _, i := range infos {
		list = append(list, i)
	}
	slices.SortFunc(list, func(a, b proof.SectorInfo) int { return int(int64(a.SectorNumber) - int64(b.SectorNumber)) })
	why, err := s.parts.Prover.Check(ctx, list)
	if err != nil {
		return bad, fmt.Errorf("check sector files: %w", err)
	}
	for n, text := range why {
		log.Warnw("sector cannot be proven", "sector", n, "why", text)
		bad.Set(uint64(n))
	}
	return bad, nil
}

func pick(order []abi.SectorNumber, infos map[abi.SectorNumber]proof.SectorInfo) ([]proof.SectorInfo, error) {
	out := make([]proof.SectorInfo, 0, len(order))
	for _, n := range order {
		i, ok := infos[n]
		if !ok {
			return nil, fmt.Errorf("the node returned no record of sector %d", n)
		}
		out = append(out, i)
	}
	return out, nil
}

// push sends a proof, after comparing its challenge with the chain's again.
func (s *Shell) push(ctx context.Context, w Window, group int) ([]Event, error) {
	g := w.Groups[group]
	r, err := s.challenge(ctx, w)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(r, g.Proof.Randomness) {
		return []Event{SeedChanged{Open: w.Open, Group: group}}, nil
	}
	commit, err := s.parts.Chain.StateGetRandomnessFromTickets(ctx, crypto.DomainSeparationTag_PoStChainCommit, w.Challenge, nil, s.parts.Heads.Latest().Key)
	if err != nil {
		return nil, fmt.Errorf("draw the chain commitment of epoch %d: %w", w.Challenge, err)
	}
	params := &miner.SubmitWindowedPoStParams{Deadline: w.Index, Proofs: g.Proof.Proofs, ChainCommitEpoch: w.Challenge, ChainCommitRand: commit}
	for i, p := range g.Partitions {
		params.Partitions = append(params.Partitions, miner.PoStPartition{Index: p, Skipped: g.Proof.Skipped[i]})
	}
	_, err = s.send(ctx, messages.Request{ID: g.MessageID, Kind: sector.KindWindowPoSt, Method: builtin.MethodsMiner.SubmitWindowedPoSt, Expire: w.Close, Attempt: g.Attempt}, params)
	if err != nil {
		return nil, err
	}
	log.Infow("Submitted window post", "deadline", w.Index, "partitions", g.Partitions, "message", g.MessageID)
	return []Event{MessagePushed{Open: w.Open, Group: group}}, nil
}

func (s *Shell) send(ctx context.Context, r messages.Request, params cbg.CBORMarshaler) (string, error) {
	var b bytes.Buffer
	if err := params.MarshalCBOR(&b); err != nil {
		return "", fmt.Errorf("encode message parameters: %w", err)
	}
	r.Params, r.Value = b.Bytes(), big.Zero()
	_, err := s.parts.Messages.Push(ctx, r)
	return r.ID, err
}

// look reads what the chain has as proven, and the fate of pushed messages that
// are not seen in it.
func (s *Shell) look(ctx context.Context, w Window) ([]Event, error) {
	done, err := s.proven(ctx, w)
	if err != nil {
		return nil, err
	}
	list, err := done.All(1 << 20)
	if err != nil {
		return nil, fmt.Errorf("proven partitions: %w", err)
	}
	events := []Event{OnChain{Open: w.Open, Partitions: list}}
	for i, g := range w.Groups {
		if g.Phase != Pushed || !slices.ContainsFunc(g.Partitions, func(p uint64) bool { return !slices.Contains(list, p) }) {
			continue
		}
		fate, err := s.parts.Messages.Fate(ctx, g.MessageID)
		switch {
		case err != nil:
			log.Warnf("cannot ask for message %s: %v", g.MessageID, err)
		case fate.Landed && fate.Exit != 0:
			events = append(events, MessageLost{Open: w.Open, Group: i, ID: g.MessageID, Err: fmt.Sprintf("the message landed with exit code %d", fate.Exit)})
		case fate.Dropped, fate.Unknown:
			events = append(events, MessageLost{Open: w.Open, Group: i, ID: g.MessageID, Err: fate.Why})
		}
	}
	return events, nil
}

// checkFiles compares a deadline's sector files with what the chain holds of
// them and declares the difference.
func (s *Shell) checkFiles(ctx context.Context, c Check) ([]Event, error) {
	head := s.parts.Heads.Latest()
	parts, err := s.partitions(ctx, c.Index, head.Key)
	if err != nil {
		return nil, err
	}
	var fields []bitfield.BitField
	for _, p := range parts {
		fields = append(fields, p.Live)
	}
	live, err := bitfield.MultiMerge(fields...)
	if err != nil {
		return nil, fmt.Errorf("merge sectors: %w", err)
	}
	infos, err := s.infosOf(ctx, live, head.Key)
	if err != nil || len(infos) == 0 {
		return []Event{Checked{Open: c.Open}}, err
	}
	bad, err := s.checked(ctx, infos)
	if err != nil {
		return nil, err
	}
	var (
		faults  miner.DeclareFaultsParams
		recover miner.DeclareFaultsRecoveredParams
		ev      = Checked{Open: c.Open}
	)
	for _, p := range parts {
		d, err := declare(p, bad)
		if err != nil {
			return nil, err
		}
		f, err := d.Faults.Count()
		if err != nil {
			return nil, fmt.Errorf("count faults: %w", err)
		}
		r, err := d.Recoveries.Count()
		if err != nil {
			return nil, fmt.Errorf("count recoveries: %w", err)
		}
		if f > 0 && s.set.DeclareFaults {
			ev.Faults += f
			faults.Faults = append(faults.Faults, miner.FaultDeclaration{Deadline: c.Index, Partition: d.Partition, Sectors: d.Faults})
		}
		if r > 0 {
			ev.Recoveries += r
			recover.Recoveries = append(recover.Recoveries, miner.RecoveryDeclaration{Deadline: c.Index, Partition: d.Partition, Sectors: d.Recoveries})
		}
	}
	if err := s.declareAll(ctx, c, &faults, &recover); err != nil {
		return nil, err
	}
	ev.Declared = ev.Faults+ev.Recoveries > 0
	return []Event{ev}, nil
}

// declareAll sends recoveries and faults as messages of their own, so that
// trouble with one does not keep the other back.
func (s *Shell) declareAll(ctx context.Context, c Check, faults *miner.DeclareFaultsParams, recover *miner.DeclareFaultsRecoveredParams) error {
	key := fmt.Sprintf("open-%d", c.Open)
	req := func(kind sector.Kind, method abi.MethodNum) messages.Request {
		return messages.Request{
			ID:   sector.MessageID(s.set.Config.Miner, key, kind, c.Attempt+1),
			Kind: kind, Method: method, Expire: c.Cutoff, Attempt: c.Attempt + 1,
		}
	}
	if len(recover.Recoveries) > 0 {
		id, err := s.send(ctx, req(sector.KindRecover, builtin.MethodsMiner.DeclareFaultsRecovered), recover)
		if err != nil {
			return fmt.Errorf("declare recoveries of deadline %d: %w", c.Index, err)
		}
		log.Infow("declared recoveries", "deadline", c.Index, "message", id)
	}
	if len(faults.Faults) > 0 {
		id, err := s.send(ctx, req(sector.KindFault, builtin.MethodsMiner.DeclareFaults), faults)
		if err != nil {
			return fmt.Errorf("declare faults of deadline %d: %w", c.Index, err)
		}
		log.Infow("declared faults", "deadline", c.Index, "message", id)
	}
	return nil
}
