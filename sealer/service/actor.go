package service

import (
	"context"
	"encoding/json"
	"fmt"
	gobig "math/big"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/api/messager"
	"github.com/filecoin-venus/venus/api/node"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/params"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/wdpost"
	"github.com/filecoin-venus/venus/types"
)

// ActorAddress returns the miner's address.
func (s *Service) ActorAddress(context.Context) (address.Address, error) { return s.miner, nil }

// ActorSectorSize returns a miner's sector size.
func (s *Service) ActorSectorSize(ctx context.Context, a address.Address) (abi.SectorSize, error) {
	if a == s.miner || a == address.Undef {
		return s.size, nil
	}
	info, err := s.node.StateMinerInfo(ctx, a, types.EmptyTSK)
	return info.SectorSize, err
}

// ActorAddressConfig returns which addresses pay besides the worker.
func (s *Service) ActorAddressConfig(context.Context) (sealerapi.AddressConfig, error) {
	c, err := s.cfg.Addresses.Controls()
	return sealerapi.AddressConfig{PreCommitControl: c[sector.KindPreCommit], CommitControl: c[sector.KindCommit], TerminateControl: c[sector.KindTerminate]}, err
}

// locked are the sums a miner actor holds back, and what it owes.
type locked struct {
	PreCommitDeposits abi.TokenAmount
	LockedFunds       abi.TokenAmount
	InitialPledge     abi.TokenAmount
	FeeDebt           abi.TokenAmount
}

// Info gathers power, balances and sector counts at one head.
func (s *Service) Info(ctx context.Context) (*sealerapi.Info, error) {
	head, err := s.node.ChainHead(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the chain's head: %w", err)
	}
	at := head.Key()
	out := &sealerapi.Info{
		Miner: s.miner, SectorSize: s.size, Epoch: head.Height(), HeadTime: time.Unix(int64(head.MinTimestamp()), 0).UTC(),
		BlockDelay: s.network.BlockDelay, BaseFee: head.ParentBaseFee(), SectorsByState: map[string]int{},
	}
	power, err := s.node.StateMinerPower(ctx, s.miner, at)
	if err != nil {
		return nil, fmt.Errorf("read power: %w", err)
	}
	out.RawPower, out.QualityPower = power.MinerPower.RawBytePower, power.MinerPower.QualityAdjPower
	out.NetworkRaw, out.NetworkQuality, out.HasMinPower = power.TotalPower.RawBytePower, power.TotalPower.QualityAdjPower, power.HasMinPower
	out.ExpectedPerWeek = expected(power, s.network.BlockDelay)
	count, err := s.node.StateMinerSectorCount(ctx, s.miner, at)
	if err != nil {
		return nil, fmt.Errorf("count sectors on chain: %w", err)
	}
	out.LiveSectors, out.ActiveSectors, out.FaultySectors = count.Live, count.Active, count.Faulty
	if err := s.balances(ctx, out, at); err != nil {
		return nil, err
	}
	for _, r := range s.pipeline.List() {
		out.SectorsByState[string(r.State)]++
	}
	return out, nil
}

// expected is the number of blocks of a week: the share of power times five wins
// an epoch, at most one.
func expected(p *node.MinerPower, delay time.Duration) float64 {
	if !p.HasMinPower || p.TotalPower.QualityAdjPower.Sign() == 0 {
		return 0
	}
	share, _ := new(gobig.Rat).SetFrac(p.MinerPower.QualityAdjPower.Int, p.TotalPower.QualityAdjPower.Int).Float64()
	return min(share*params.ExpectedLeadersPerEpoch, 1) * float64(7*24*time.Hour/delay)
}

func (s *Service) balances(ctx context.Context, out *sealerapi.Info, at types.TipSetKey) error {
	st, err := s.node.StateReadState(ctx, s.miner, at)
	if err != nil {
		return fmt.Errorf("read miner state: %w", err)
	}
	sums, err := sumsOf(st)
	if err != nil {
		return err
	}
	out.ActorBalance, out.PreCommit, out.Pledge, out.Vesting = st.Balance, orZero(sums.PreCommitDeposits), orZero(sums.InitialPledge), orZero(sums.LockedFunds)
	if out.Available, err = s.node.StateMinerAvailableBalance(ctx, s.miner, at); err != nil {
		return fmt.Errorf("read available balance: %w", err)
	}
	market, err := s.node.StateMarketBalance(ctx, s.miner, at)
	if err != nil {
		return fmt.Errorf("read market balance: %w", err)
	}
	out.MarketEscrow, out.MarketLocked = orZero(market.Escrow), orZero(market.Locked)
	info, err := s.node.StateMinerInfo(ctx, s.miner, at)
	if err != nil {
		return fmt.Errorf("read miner %s: %w", s.miner, err)
	}
	if out.Worker, err = s.balance(ctx, info.Worker); err != nil {
		return err
	}
	for _, a := range info.ControlAddresses {
		if a == info.Worker {
			continue
		}
		b, err := s.balance(ctx, a)
		if err != nil {
			return err
		}
		out.Controls = append(out.Controls, b)
	}
	return nil
}

func (s *Service) balance(ctx context.Context, a address.Address) (sealerapi.Balance, error) {
	v, err := s.node.WalletBalance(ctx, a)
	if err != nil {
		return sealerapi.Balance{}, fmt.Errorf("read balance of %s: %w", a, err)
	}
	return sealerapi.Balance{Address: a, Amount: v}, nil
}

func orZero(v big.Int) big.Int {
	if v.Int == nil {
		return big.Zero()
	}
	return v
}

// ProvingInfo returns the current deadline and the miner's faults.
func (s *Service) ProvingInfo(ctx context.Context) (*sealerapi.ProvingInfo, error) {
	head, err := s.node.ChainHead(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the chain's head: %w", err)
	}
	d, err := s.node.StateMinerProvingDeadline(ctx, s.miner, head.Key())
	if err != nil {
		return nil, fmt.Errorf("read the proving deadline: %w", err)
	}
	out := &sealerapi.ProvingInfo{Deadline: d, Alerts: []sealerapi.ProvingAlert{}}
	for _, a := range s.wdpost.Alerts() {
		out.Alerts = append(out.Alerts, sealerapi.ProvingAlert{Deadline: a.Deadline, Cutoff: a.Cutoff, Text: a.Text})
	}
	list, err := s.deadlines(ctx, head.Key(), d.Index)
	if err != nil {
		return nil, err
	}
	for _, x := range list {
		out.Sectors += x.Sectors
		out.Faults += x.Faults
		out.Recovering += x.Recovering
		if x.Current {
			out.InDeadline = x.Sectors
		}
	}
	return out, nil
}

// ProvingDeadlines returns all deadlines with what is proven of them.
func (s *Service) ProvingDeadlines(ctx context.Context) ([]sealerapi.DeadlineInfo, error) {
	head, err := s.node.ChainHead(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the chain's head: %w", err)
	}
	d, err := s.node.StateMinerProvingDeadline(ctx, s.miner, head.Key())
	if err != nil {
		return nil, fmt.Errorf("read the proving deadline: %w", err)
	}
	list, err := s.deadlines(ctx, head.Key(), d.Index)
	if err != nil {
		return nil, err
	}
	plan := s.wdpost.Snapshot()
	for i := range list {
		ahead := (list[i].Index + d.WPoStPeriodDeadlines - d.Index) % d.WPoStPeriodDeadlines
		list[i].Open = d.Open + abi.ChainEpoch(ahead)*d.WPoStChallengeWindow
		list[i].Close = list[i].Open + d.WPoStChallengeWindow
		list[i].State = stateOf(plan, list[i])
	}
	return list, nil
}

func stateOf(plan wdpost.State, d sealerapi.DeadlineInfo) string {
	for _, w := range plan.Windows {
		if w.Open != d.Open {
			continue
		}
		least, any := "landed", false
		for _, g := range w.Groups {
			any = true
			switch g.Phase {
			case wdpost.Proving:
				return "proving"
			case wdpost.Proved, wdpost.Pushed:
				least = "submitted"
			case wdpost.Nothing:
				return "missed"
			}
		}
		if any {
			return least
		}
	}
	if d.Sectors == 0 {
		return "idle"
	}
	return "waiting"
}

// deadlines reads all deadlines with their partitions.
func (s *Service) deadlines(ctx context.Context, at types.TipSetKey, current uint64) ([]sealerapi.DeadlineInfo, error) {
	ds, err := s.node.StateMinerDeadlines(ctx, s.miner, at)
	if err != nil {
		return nil, fmt.Errorf("read deadlines: %w", err)
	}
	out := make([]sealerapi.DeadlineInfo, len(ds))
	for i, d := range ds {
		parts, err := s.node.StateMinerPartitions(ctx, s.miner, uint64(i), at)
		if err != nil {
			return nil, fmt.Errorf("read partitions of deadline %d: %w", i, err)
		}
		out[i] = sealerapi.DeadlineInfo{Index: uint64(i), Partitions: len(parts), Current: uint64(i) == current}
		for _, p := range parts {
			for field, sum := range map[*bitfield.BitField]*uint64{&p.LiveSectors: &out[i].Sectors, &p.FaultySectors: &out[i].Faults, &p.RecoveringSectors: &out[i].Recovering} {
				n, err := field.Count()
				if err != nil {
					return nil, fmt.Errorf("count sectors of deadline %d: %w", i, err)
				}
				*sum += n
			}
		}
		if out[i].ProvenPartitions, err = d.PostSubmissions.Count(); err != nil {
			return nil, fmt.Errorf("count proven partitions of deadline %d: %w", i, err)
		}
	}
	return out, nil
}

// WindowPoStHistory returns the last window proofs, newest first.
func (s *Service) WindowPoStHistory(ctx context.Context, limit int) ([]sealerapi.WindowPoStRecord, error) {
	if limit <= 0 || limit > 10000 {
		limit = 100
	}
	names := map[wdpost.Phase]string{wdpost.Proving: "computing", wdpost.Proved: "computed", wdpost.Pushed: "submitted", wdpost.Landed: "landed", wdpost.Nothing: "failed"}
	out := []sealerapi.WindowPoStRecord{}
	err := s.db.WindowProofs(ctx, limit, func(_ int64, _ int, raw []byte) error {
		var r wdpost.Record
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("decode window proof: %w", err)
		}
		out = append(out, sealerapi.WindowPoStRecord{
			Deadline: r.Deadline, Open: r.Open, Partitions: r.Partitions, Sectors: r.Sectors, Skipped: r.Skipped,
			Message: r.Message, State: names[r.Phase], Took: r.Took, Parts: partsOut(r.Parts), Err: r.Err, At: r.At,
		})
		return nil
	})
	return out, err
}

// MessagerPushMessage sends a message of the miner's wallet.
func (s *Service) MessagerPushMessage(ctx context.Context, msg *types.Message, maxFee abi.TokenAmount) (string, error) {
	return s.messager.PushMessage(ctx, msg, &messager.MsgMeta{MaxFee: orZero(maxFee), MaxFeeCap: big.Zero()}, s.cfg.Messager.Wallet)
}

// MessagerGetMessage returns how a message fares.
func (s *Service) MessagerGetMessage(ctx context.Context, id string) (*sealerapi.MessageStatus, error) {
	m, err := s.messager.GetMessageByUid(ctx, id)
	if err != nil {
		return nil, err
	}
	return statusOf(m), nil
}

// MessagerWaitMessage waits until a message is deep enough.
func (s *Service) MessagerWaitMessage(ctx context.Context, id string, confidence uint64) (*sealerapi.MessageStatus, error) {
	m, err := s.messager.WaitMessage(ctx, id, confidence)
	if err != nil {
		return nil, err
	}
	return statusOf(m), nil
}

func statusOf(m *messager.Message) *sealerapi.MessageStatus {
	out := &sealerapi.MessageStatus{ID: m.ID, Cid: m.SignedCid, State: m.State.String(), Height: m.Height, Confidence: m.Confidence, Error: m.ErrorMsg}
	if m.Receipt != nil {
		out.ExitCode, out.GasUsed, out.Return = m.Receipt.ExitCode, m.Receipt.GasUsed, m.Receipt.Return
	}
	return out
}
