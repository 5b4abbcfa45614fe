package mining

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	miningapi "github.com/filecoin-venus/venus/api/mining"
	"github.com/filecoin-venus/venus/mining/guard"
)

// GuardStatus tells of each named miner, or of all, up to where its record may have holes.
func (s *Service) GuardStatus(ctx context.Context, addrs []address.Address) ([]miningapi.GuardStatus, error) {
	members, err := s.named(addrs)
	if err != nil {
		return nil, err
	}
	out := make([]miningapi.GuardStatus, len(members))
	for i, m := range members {
		rec := s.parts.Records.Miner(m.spec.Addr)
		st, err := rec.Status(ctx)
		if err != nil {
			return nil, err
		}
		out[i] = miningapi.GuardStatus{Addr: m.spec.Addr, Floor: st.Floor, FloorWhy: st.Why, Alive: st.Alive}
		last, err := rec.Blocks(ctx, 1)
		if err != nil {
			return nil, err
		}
		if len(last) > 0 {
			out[i].Last = last[0].Epoch
		}
	}
	return out, nil
}

// GuardExport returns the record of signed blocks.
func (s *Service) GuardExport(ctx context.Context, addrs []address.Address) (json.RawMessage, error) {
	f, err := s.parts.Records.Export(ctx, s.parts.Network, s.parts.Clock.Now(), addrs...)
	if err != nil {
		return nil, err
	}
	return json.Marshal(f)
}

// GuardImport joins an exported record with the one here.
func (s *Service) GuardImport(ctx context.Context, raw json.RawMessage) (miningapi.GuardImported, error) {
	f, err := guard.Decode(raw)
	if err != nil {
		return miningapi.GuardImported{}, api.Errorf(api.CodeInvalid, "%w", err).WithHint("export it again with: venus-miner guard export")
	}
	if f.Network != s.parts.Network {
		return miningapi.GuardImported{}, api.Errorf(api.CodeInvalid, "the record is of network %q, this venus-miner mines on %q", f.Network, s.parts.Network)
	}
	watermark, err := s.watermark(f.Exported)
	if err != nil {
		return miningapi.GuardImported{}, err
	}
	out := miningapi.GuardImported{Floor: watermark}
	for _, m := range f.Miners {
		out.Miners, out.Floor = append(out.Miners, m.Miner), max(out.Floor, m.Last())
	}
	if out.Blocks, err = s.parts.Records.Import(ctx, f, watermark); err != nil {
		return miningapi.GuardImported{}, err
	}
	log.Warnf("imported the record of signed blocks of %d miners of %s: nothing is signed up to epoch %d", len(f.Miners), f.Exported, out.Floor)
	return out, nil
}

// watermark is an epoch above everything that can have been signed by now.
func (s *Service) watermark(exported time.Time) (abi.ChainEpoch, error) {
	head, _, away := s.heads.get()
	if away != nil || head == nil {
		return 0, api.Errorf(api.CodeUnavailable, "the node cannot be heard, so that nobody knows up to which epoch blocks may have been signed since %s: %w", exported.Format(time.RFC3339), orUnknown(away)).
			WithHint("import the record while the node answers")
	}
	return present(head, s.parts.Clock.Now(), s.parts.Timing.BlockDelay) + floorMargin, nil
}

func orUnknown(err error) error {
	if err == nil {
		return fmt.Errorf("it told no head yet")
	}
	return err
}
