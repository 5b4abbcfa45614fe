package record

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"

	"github.com/filecoin-venus/venus/api"
	"github.com/filecoin-venus/venus/mining/guard"
)

// Export reads the record of signed blocks of the named miners, or of all.
func (d *DB) Export(ctx context.Context, network string, now time.Time, miners ...address.Address) (*guard.File, error) {
	if len(miners) == 0 {
		var err error
		if miners, err = d.miners(ctx); err != nil {
			return nil, err
		}
	}
	f := &guard.File{Network: network, Exported: now}
	for _, a := range miners {
		m := d.Miner(a)
		part := guard.FileMiner{Miner: a}
		// Alone with the miner: no block can be signed that the floor or the list lacks.
		err := m.locked(ctx, func(tx *sql.Tx, floor abi.ChainEpoch) error {
			list, err := scanBlocks(tx.QueryContext(ctx, selectBlocks+" WHERE miner=? ORDER BY epoch", m.key))
			part.Floor, part.Blocks = floor, make([]guard.FileBlock, len(list))
			for i, b := range list {
				part.Blocks[i] = fileBlock(b)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		f.Miners = append(f.Miners, part)
	}
	f.Sort()
	return f, f.Seal()
}

func fileBlock(b Block) guard.FileBlock {
	out := guard.FileBlock{
		Epoch: b.Epoch, ParentEpoch: b.ParentEpoch, Parents: b.Parents, Grandparents: b.Grandparents, Digest: b.Digest, Void: b.Void,
		WinCount: b.WinCount, State: string(b.State), Reason: b.Reason,
	}
	if b.Block.Defined() {
		out.Block = &b.Block
	}
	return out
}

func (d *DB) miners(ctx context.Context) ([]address.Address, error) {
	rows, err := d.sql.R.QueryContext(ctx, "SELECT miner FROM miners ORDER BY miner")
	if err != nil {
		return nil, fmt.Errorf("list miners of the record: %w", err)
	}
	defer rows.Close()
	var out []address.Address
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, fmt.Errorf("list miners of the record: %w", err)
		}
		a, err := address.NewFromBytes(raw)
		if err != nil {
			return nil, fmt.Errorf("a miner of the record: %w", err)
		}
		out = append(out, a)
	}
	return out, rows.Err()
}

// Import joins a verified file with what is here. Until watermark, the highest epoch at which anybody can have signed by
// now, nothing is signed afterwards: what happened between the export and now the file does not know. A file that says of
// a signed block what the record here does not, changes nothing. It returns how many blocks were new.
func (d *DB) Import(ctx context.Context, f *guard.File, watermark abi.ChainEpoch) (added int, err error) {
	if err := f.Verify(); err != nil {
		return 0, api.Errorf(api.CodeInvalid, "%w", err).WithHint("export it again with: venus-miner guard export")
	}
	err = d.sql.Update(ctx, func(tx *sql.Tx) error {
		added = 0
		for _, part := range f.Miners {
			n, err := d.Miner(part.Miner).join(ctx, tx, part, max(watermark, part.Last()))
			if err != nil {
				return fmt.Errorf("record of %s: %w", part.Miner, err)
			}
			added += n
		}
		return nil
	})
	return added, err
}

// join merges one miner's part inside a transaction.
func (m *Miner) join(ctx context.Context, tx *sql.Tx, part guard.FileMiner, floor abi.ChainEpoch) (added int, err error) {
	if _, err := tx.ExecContext(ctx, m.db.Ignore()+" INTO miners (miner, floor, floor_why, alive_at) VALUES (?,0,'',0)", m.key); err != nil {
		return 0, err
	}
	var have abi.ChainEpoch
	if err := tx.QueryRowContext(ctx, "SELECT floor FROM miners WHERE miner=?"+m.db.ForUpdate(), m.key).Scan(&have); err != nil {
		return 0, err
	}
	for _, b := range part.Blocks {
		var digest string
		err := tx.QueryRowContext(ctx, "SELECT digest FROM blocks WHERE miner=? AND epoch=?", m.key, b.Epoch).Scan(&digest)
		switch {
		case err == nil && digest == b.Digest:
			continue
		case err == nil:
			return 0, api.Errorf(api.CodeConflict, "file and record hold different blocks of epoch %d: the miner was run in two places", b.Epoch).
				WithHint("nothing was imported; find out which program signed which before this miner mines again")
		case !errors.Is(err, sql.ErrNoRows):
			return 0, err
		}
		e := b.Entry()
		p := guard.Proposal{Epoch: e.Epoch, Parents: e.Parents, ParentEpoch: e.ParentEpoch, Grandparents: e.Grandparents, Digest: e.Digest}
		if err := m.insert(ctx, tx, p, b.WinCount, nil); err != nil {
			return 0, err
		}
		block := ""
		if e.Block.Defined() {
			block = e.Block.String()
		}
		if _, err := tx.ExecContext(ctx, "UPDATE blocks SET block=?, state=?, reason=?, void=? WHERE miner=? AND epoch=?",
			block, b.State, b.Reason, b.Void, m.key, b.Epoch); err != nil {
			return 0, err
		}
		added++
	}
	return added, m.raise(ctx, tx, have, floor, "a record was imported")
}
