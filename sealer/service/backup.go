package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/filecoin-project/go-bitfield"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	sealerapi "github.com/filecoin-venus/venus/api/sealer"
	"github.com/filecoin-venus/venus/repo"
	"github.com/filecoin-venus/venus/sealer/backup"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/types"
)

// CreateBackup writes a backup of the sealer's database and settings to a file of its machine, and reads it back.
func (s *Service) CreateBackup(ctx context.Context, path string) (*sealerapi.BackupReport, error) {
	if !filepath.IsAbs(path) {
		return nil, api.Errorf(api.CodeInvalid, "%q is no absolute path on the sealer's machine", path)
	}
	files, err := backup.Files(s.repo.Dir)
	if err != nil {
		return nil, err
	}
	rep, err := backup.Write(ctx, path, s.miner.String(), s.opts.Clock.Now().UTC(), s.db, files)
	if err != nil {
		return nil, err
	}
	log.Infow("backup written", "file", path, "sectors", rep.Rows["sectors"])
	return reportOf(rep), nil
}

func reportOf(r backup.Report) *sealerapi.BackupReport {
	return &sealerapi.BackupReport{Miner: r.Miner, At: r.At, Sectors: r.Rows["sectors"], Rows: r.Rows, Files: append([]string{}, r.Files...), Bytes: r.Bytes, SHA256: r.SHA256}
}

// Restore verifies a backup and, unless only that is asked for, brings it into a directory in which no sealer runs.
func Restore(ctx context.Context, o Options, path string, onlyCheck bool) (*sealerapi.BackupReport, error) {
	if onlyCheck {
		rep, err := backup.Verify(path)
		if err != nil {
			return nil, unusable(err)
		}
		return reportOf(rep), nil
	}
	r, err := repo.Open(o.Dir)
	if err != nil {
		return nil, api.Errorf(api.CodePrecondition, "%w", err).WithHint("stop the sealer that runs with this directory, or restore to another one with --data")
	}
	rep, err := backup.Restore(ctx, path, r, o.Clock.Now().UTC())
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, unusable(err)
	}
	return reportOf(rep), nil
}

func unusable(err error) error {
	switch {
	case errors.Is(err, backup.ErrDamaged):
		return api.Errorf(api.CodeInvalid, "%w; nothing was restored from it", err).WithHint("take another backup")
	case errors.Is(err, db.ErrNotEmpty):
		return api.Errorf(api.CodeConflict, "%w: a restore never overwrites sectors", err).WithHint("move the database away first, or restore to another directory with --data")
	}
	return err
}

// settle reserves the sector numbers that may have been used, after a restore.
func (s *Service) settle(ctx context.Context) error {
	if _, err := s.db.Restored(ctx); errors.Is(err, db.ErrNotFound) {
		return nil
	}
	used, err := s.highestOnChain(ctx)
	if err != nil {
		return err
	}
	for _, p := range s.store.Paths() {
		for _, d := range s.store.Holds(p.ID) {
			if d.Sector.Miner == s.actorID {
				used = max(used, d.Sector.Number)
			}
		}
	}
	floor, err := s.pipeline.AfterRestore(ctx, used)
	if err != nil {
		return fmt.Errorf("bring the restored database up to date: %w", err)
	}
	log.Warnf("this database was restored from a backup: new sectors are numbered from %d on; 'venus-sealer sectors unknown' lists what the chain has and the backup did not", floor)
	return nil
}

// highestOnChain is the highest sector number that the miner ever used on the chain, 0 when none.
func (s *Service) highestOnChain(ctx context.Context) (abi.SectorNumber, error) {
	st, err := s.node.StateReadState(ctx, s.miner, types.EmptyTSK)
	if err != nil {
		return 0, fmt.Errorf("read miner state: %w", err)
	}
	var used struct{ AllocatedSectors cid.Cid }
	raw, err := json.Marshal(st.State)
	if err == nil {
		err = json.Unmarshal(raw, &used)
	}
	if err != nil {
		return 0, fmt.Errorf("read miner state: %w", err)
	}
	b, err := s.node.ChainReadObj(ctx, used.AllocatedSectors)
	if err != nil {
		return 0, fmt.Errorf("read the numbers of used sectors: %w", err)
	}
	var field bitfield.BitField
	if err := field.UnmarshalCBOR(bytes.NewReader(b)); err != nil {
		return 0, fmt.Errorf("read the numbers of used sectors: %w", err)
	}
	empty, err := field.IsEmpty()
	if err != nil || empty {
		return 0, err
	}
	last, err := field.Last()
	return abi.SectorNumber(last), err
}

// SectorsAdopt takes the live sectors that the chain has and this sealer does not know into its database, as proven.
func (s *Service) SectorsAdopt(ctx context.Context) ([]abi.SectorNumber, error) {
	unknown, err := s.SectorsUnknown(ctx)
	if err != nil {
		return nil, err
	}
	out := []abi.SectorNumber{}
	for _, u := range unknown {
		if !u.Live {
			continue
		}
		info, err := s.node.StateSectorGetInfo(ctx, s.miner, u.SectorID, types.EmptyTSK)
		if err != nil {
			return out, fmt.Errorf("read sector %d on chain: %w", u.SectorID, err)
		}
		if info == nil {
			continue // it ended meanwhile
		}
		rec := sector.New(s.actorID, u.SectorID, info.SealProof, s.opts.Clock.Now().UTC())
		rec.State, rec.CommR = sector.Proving, &info.SealedCID
		if info.SectorKeyCID != nil {
			rec.Update = &sector.Update{Key: info.SectorKeyCID, CommR: &info.SealedCID, Sent: true}
		}
		if err := s.pipeline.Adopt(ctx, rec); err != nil {
			return out, err
		}
		out = append(out, u.SectorID)
	}
	return out, nil
}
