package wdpost

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/proof"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin"
	"github.com/filecoin-project/specs-actors/v7/actors/builtin/miner"
	cbg "github.com/whyrusleeping/cbor-gen"

	"github.com/filecoin-venus/venus/internal/fault"
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
	job, err := s.prepare(ctx, w.Index, w.Groups[group].Partitions)
	if err != nil {
		return nil, err
	}
	r, err := s.challenge(ctx, w)
	if err != nil {
		return nil, err
	}
	job.by, job.others = s.by(w.Close), w.unproved()-1
	p, err := s.compute(ctx, job, r)
	if err != nil {
		return nil, err
	}
	ev := ProofReady{Open: w.Open, Group: group, Proof: p}
	if p == nil {
		ev.Why = "no sector of these partitions can be proven"
		if why := job.first(); why != "" {
			ev.Why += ", the first because " + why
		}
	}
	return []Event{ev}, nil
}

// job is partitions with what is needed to prove them. why tells of the sectors
// that cannot be proven; a proof adds what it finds.
type job struct {
	deadline uint64
	parts    []Partition
	infos    map[abi.SectorNumber]proof.SectorInfo
	why      map[abi.SectorNumber]string
	by       time.Time
	others   int
	anew     bool
}

// by is when a proof is wanted at the latest that must be on the chain by an epoch: another message can still be sent
// then if the first one gets stuck, and one takes an epoch to be executed.
func (s *Shell) by(end abi.ChainEpoch) time.Time {
	head := s.parts.Heads.Latest()
	return head.Time.Add(time.Duration(end-s.set.StuckAfter-2-head.Epoch) * s.set.BlockDelay)
}

// first tells why the first bad sector is bad, "" when none is.
func (j job) first() string {
	if len(j.why) == 0 {
		return ""
	}
	n := slices.Min(slices.Collect(maps.Keys(j.why)))
	return fmt.Sprintf("sector %d: %s", n, j.why[n])
}

// prepare reads partitions and looks at the files of their sectors.
func (s *Shell) prepare(ctx context.Context, deadline uint64, partitions []uint64) (job, error) {
	j := job{deadline: deadline}
	head := s.parts.Heads.Latest()
	all, err := s.partitions(ctx, deadline, head.Key)
	if err != nil {
		return j, err
	}
	for _, i := range partitions {
		if i >= uint64(len(all)) {
			return j, fmt.Errorf("deadline %d has no partition %d any more", deadline, i)
		}
		j.parts = append(j.parts, all[i])
	}
	if j.infos, err = s.sectorInfos(ctx, j.parts, head.Key); err != nil {
		return j, err
	}
	j.why, err = s.checked(ctx, j.infos)
	return j, err
}

// compute makes the proof of a job and checks it; nil without an error means that
// no sector can be proven. A proof that left sectors out on its way counts: what
// stands in for them in the statement proves nothing new.
func (s *Shell) compute(ctx context.Context, j job, r abi.PoStRandomness) (*Proof, error) {
	for range maxRounds {
		list, p, err := j.statement(r)
		if err != nil || p == nil {
			return nil, err
		}
		made, err := s.parts.Prover.WindowPoSt(ctx, Work{Sectors: list, Randomness: r, By: j.by, Others: j.others, Anew: j.anew})
		proofs, faulty := made.Proofs, made.Faulty
		if len(faulty) > 0 {
			log.Warnw("sectors cannot be proven and are left out", "deadline", j.deadline, "sectors", faulty)
			for _, n := range faulty {
				j.why[n] = "its data could not be opened for the proof"
			}
			if err != nil || len(proofs) == 0 {
				continue
			}
			if list, p, err = j.statement(r); err != nil || p == nil {
				return nil, err
			}
		}
		if err != nil {
			return nil, fmt.Errorf("prove deadline %d: %w", j.deadline, err)
		}
		ok, err := s.parts.Verifier.VerifyWindowPoSt(ctx, proof.WindowPoStVerifyInfo{Randomness: slices.Clone(r), Proofs: proofs, ChallengedSectors: list, Prover: s.set.Config.Miner})
		switch {
		case err != nil:
			return nil, fmt.Errorf("check the proof of deadline %d: %w", j.deadline, err)
		case !ok && len(faulty) > 0:
			continue // made anew of the others
		case !ok:
			return nil, fmt.Errorf("our own check refused the proof of deadline %d; it was not sent", j.deadline)
		}
		p.Proofs, p.Parts = proofs, made.Parts
		return p, nil
	}
	return nil, fmt.Errorf("deadline %d: every try found more sectors that cannot be proven", j.deadline)
}

// statement is what is to be proven of a job, without those that are known to be
// bad: the list for the prover, and the proof but for its bytes, nil when nothing
// is left.
func (j job) statement(r abi.PoStRandomness) ([]proof.SectorInfo, *Proof, error) {
	bad := bitfield.New()
	for n := range j.why {
		bad.Set(uint64(n))
	}
	order, good, skipped, err := statement(j.parts, bad)
	if err != nil || len(order) == 0 {
		return nil, nil, err
	}
	list, err := pick(order, j.infos)
	if err != nil {
		return nil, nil, err
	}
	n, err := good.Count()
	if err != nil {
		return nil, nil, fmt.Errorf("count sectors: %w", err)
	}
	return list, &Proof{Randomness: r, Skipped: skipped, Sectors: n}, nil
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

// checked looks at the files and tells why sectors cannot be proven.
func (s *Shell) checked(ctx context.Context, infos map[abi.SectorNumber]proof.SectorInfo) (map[abi.SectorNumber]string, error) {
	list := slices.SortedFunc(maps.Values(infos), func(a, b proof.SectorInfo) int { return cmp.Compare(a.SectorNumber, b.SectorNumber) })
	why, err := s.parts.Prover.Check(ctx, list)
	if err != nil {
		return nil, fmt.Errorf("check sector files: %w", err)
	}
	out := map[abi.SectorNumber]string{}
	for n, text := range why {
		log.Warnw("sector cannot be proven", "sector", n, "why", text)
		out[n] = text
	}
	return out, nil
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
	if err := fault.Point("wdpost/pushed"); err != nil {
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
