package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/sealer/db"
	"github.com/filecoin-venus/venus/sealer/sector"
	"github.com/filecoin-venus/venus/sealer/store"
)

// preSealed is the part of a genesis miner's description that is needed
// (node-nv15.md 4.1).
type preSealed struct {
	ID         address.Address
	SectorSize abi.SectorSize
	Sectors    []preSealedSector
}

type preSealedSector struct {
	CommR     cid.Cid
	CommD     cid.Cid
	SectorID  abi.SectorNumber
	ProofType abi.RegisteredSealProof
}

// readPreSealed reads a miner's description: the miner alone, or a map with the
// miner's address as key.
func readPreSealed(file string, miner address.Address) (preSealed, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return preSealed{}, fmt.Errorf("read list of pre-sealed sectors: %w", err)
	}
	return parsePreSealed(b, miner)
}

func parsePreSealed(b []byte, miner address.Address) (preSealed, error) {
	var one preSealed
	err := json.Unmarshal(b, &one)
	if err != nil || one.ID == address.Undef {
		var many map[string]preSealed
		if err2 := json.Unmarshal(b, &many); err2 != nil {
			return preSealed{}, fmt.Errorf("list of pre-sealed sectors: %w", errors.Join(err, err2))
		}
		for _, m := range many {
			if m.ID == miner {
				one = m
			}
		}
	}
	if one.ID != miner {
		return preSealed{}, fmt.Errorf("list of pre-sealed sectors does not describe miner %s", miner)
	}
	for _, s := range one.Sectors {
		if !s.CommR.Defined() || !s.CommD.Defined() {
			return preSealed{}, fmt.Errorf("pre-sealed sector %d lacks a commitment", s.SectorID)
		}
		if s.SectorID > abi.MaxSectorNumber {
			return preSealed{}, fmt.Errorf("pre-sealed sector number %d is too large", s.SectorID)
		}
		if _, err := s.ProofType.SectorSize(); err != nil {
			return preSealed{}, fmt.Errorf("pre-sealed sector %d: %w", s.SectorID, err)
		}
	}
	return one, nil
}

// importSectors attaches folders of pre-sealed sectors, where they lie, and
// takes their sectors in as proving.
func importSectors(ctx context.Context, req Request, p Parts, miner address.Address) error {
	if len(req.PreSealed) == 0 {
		return nil
	}
	st, err := store.Open(p.Repo.Path(store.FileName))
	if err != nil {
		return err
	}
	cfg := req.Config.DB
	if cfg.Path == "" {
		cfg.Path = p.Repo.Path("sealer.db")
	}
	d, err := db.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer d.Close()
	lists := req.Metadata
	for _, dir := range req.PreSealed {
		if dir, err = filepath.Abs(dir); err != nil {
			return fmt.Errorf("resolve folder of pre-sealed sectors: %w", err)
		}
		if err := attachPreSealed(st, dir); err != nil {
			return err
		}
		if len(req.Metadata) == 0 {
			file, err := findList(dir, miner)
			if err != nil {
				return err
			}
			lists = append(lists, file)
		}
	}
	n := 0
	for _, file := range lists {
		list, err := readPreSealed(file, miner)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := adopt(ctx, d, st, p, list); err != nil {
			return err
		}
		n += len(list.Sectors)
	}
	p.Log("Imported %d pre-sealed sectors", n)
	return nil
}

func attachPreSealed(st *store.Store, dir string) error {
	spec := store.Spec{Dir: dir, CanStore: true}
	if _, err := os.Stat(filepath.Join(dir, store.MetaFile)); errors.Is(err, fs.ErrNotExist) {
		spec.Init = true
	}
	if _, err := st.Attach(spec); err != nil {
		return fmt.Errorf("attach folder of pre-sealed sectors: %w", err)
	}
	return nil
}

// findList looks for a miner's description in and beside its folder.
func findList(dir string, miner address.Address) (string, error) {
	id, err := address.IDFromAddress(miner)
	if err != nil {
		return "", fmt.Errorf("miner %s: %w", miner, err)
	}
	for _, place := range []string{dir, filepath.Dir(dir)} {
		for _, prefix := range []string{"t", "f"} {
			file := filepath.Join(place, fmt.Sprintf("pre-seal-%s0%d.json", prefix, id))
			if _, err := os.Stat(file); err == nil {
				return file, nil
			}
		}
	}
	return "", api.Errorf(api.CodeNotFound, "%s holds no pre-seal-t0%d.json", dir, id).WithHint("name the list with --pre-sealed-metadata")
}

func adopt(ctx context.Context, d *db.DB, st *store.Store, p Parts, list preSealed) error {
	id, err := address.IDFromAddress(list.ID)
	if err != nil {
		return fmt.Errorf("miner %s: %w", list.ID, err)
	}
	for _, s := range list.Sectors {
		sid := abi.SectorID{Miner: abi.ActorID(id), Number: s.SectorID}
		if _, err := st.Find(sid, store.Sealed, store.Cache); err != nil {
			return fmt.Errorf("pre-sealed sector %d: %w", s.SectorID, err)
		}
		if _, err := d.Sector(ctx, s.SectorID); err == nil {
			continue
		} else if !errors.Is(err, db.ErrNotFound) {
			return err
		}
		now := p.Clock.Now().UTC()
		rec := sector.New(sid.Miner, sid.Number, s.ProofType, now)
		rec.State, rec.CommD, rec.CommR = sector.Proving, &s.CommD, &s.CommR
		log := []db.LogEntry{{At: now, Kind: "event;sealing.Imported", Text: "sealed before the chain began"}}
		if err := d.SaveSector(ctx, db.Change{Record: rec, Log: log}); err != nil {
			return err
		}
	}
	return nil
}
