package record

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"
	logging "github.com/ipfs/go-log/v2"

	"github.com/filecoin-venus/venus/internal/fault"
	"github.com/filecoin-venus/venus/internal/sqldb"
	"github.com/filecoin-venus/venus/mining/guard"
	"github.com/filecoin-venus/venus/types"
)

var log = logging.Logger("mining/record")

//go:embed migrations
var migrations embed.FS

// DB is the open database. It is safe for concurrent use.
type DB struct{ sql *sqldb.DB }

// Open opens the database and brings it up to date.
func Open(ctx context.Context, c sqldb.Config) (*DB, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("find migrations: %w", err)
	}
	db, err := sqldb.Open(ctx, c, dir)
	if err != nil {
		return nil, fmt.Errorf("records of mining: %w", err)
	}
	if db.MySQL {
		warnIfLazy(ctx, db.R)
	}
	return &DB{sql: db}, nil
}

// warnIfLazy tells when a server is set to forget commits in a power cut: then a block could be signed twice.
func warnIfLazy(ctx context.Context, db *sql.DB) {
	var flush, binlog int
	if err := db.QueryRowContext(ctx, "SELECT @@innodb_flush_log_at_trx_commit, @@sync_binlog").Scan(&flush, &binlog); err == nil && flush != 1 {
		log.Warnf("the database server may forget commits in a power cut (innodb_flush_log_at_trx_commit = %d): set it to 1, or blocks may be signed twice", flush)
	}
}

// Ping tells whether the database answers.
func (d *DB) Ping(ctx context.Context) error { return d.sql.W.PingContext(ctx) }

// Close closes the database.
func (d *DB) Close() error { return d.sql.Close() }

// Miner is the record of one miner. It is safe for concurrent use, also by several programs.
type Miner struct {
	db   *sqldb.DB
	addr address.Address
	key  []byte
}

// Miner returns the record of a miner.
func (d *DB) Miner(addr address.Address) *Miner {
	return &Miner{db: d.sql, addr: addr, key: addr.Bytes()}
}

// Propose judges a block and, when it is fresh, records it durably. Only after it returned an allowed verdict may a
// signature be asked for. template is kept for sending the same bytes again after a crash.
func (m *Miner) Propose(ctx context.Context, p guard.Proposal, winCount int64, template []byte) (v guard.Verdict, why string, err error) {
	if err := fault.Point("mining/propose"); err != nil {
		return "", "", err
	}
	err = m.locked(ctx, func(tx *sql.Tx, floor abi.ChainEpoch) error {
		own, err := m.touched(ctx, tx, p)
		if err != nil {
			return err
		}
		if v, why = guard.Judge(floor, own, p); v != guard.Fresh {
			return nil
		}
		if err := m.insert(ctx, tx, p, winCount, template); err != nil {
			return err
		}
		return fault.Point("mining/record")
	})
	if err == nil {
		// Recorded, though nobody was told: after a crash here these bytes may be signed, others not.
		err = fault.Point("mining/recorded")
	}
	if err != nil {
		return "", "", fmt.Errorf("record the block of epoch %d before it is signed: %w", p.Epoch, err)
	}
	return v, why, nil
}

// locked runs fn in a transaction that is alone with the miner.
func (m *Miner) locked(ctx context.Context, fn func(tx *sql.Tx, floor abi.ChainEpoch) error) error {
	return m.db.Update(ctx, func(tx *sql.Tx) error {
		read := func() (floor abi.ChainEpoch, err error) {
			err = tx.QueryRowContext(ctx, "SELECT floor FROM miners WHERE miner=?"+m.db.ForUpdate(), m.key).Scan(&floor)
			return floor, err
		}
		floor, err := read()
		if errors.Is(err, sql.ErrNoRows) {
			if _, err := tx.ExecContext(ctx, m.db.Ignore()+" INTO miners (miner, floor, floor_why, alive_at) VALUES (?,0,'',0)", m.key); err != nil {
				return fmt.Errorf("begin record of %s: %w", m.addr, err)
			}
			floor, err = read()
		}
		if err != nil {
			return fmt.Errorf("read record of %s: %w", m.addr, err)
		}
		return fn(tx, floor)
	})
}

func (m *Miner) insert(ctx context.Context, tx *sql.Tx, p guard.Proposal, winCount int64, template []byte) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO blocks (miner, epoch, parent_epoch, parents, grandparents, digest, win_count, template, block, state, reason, void)
		VALUES (?,?,?,?,?,?,?,?,'',?,'',0)`, m.key, p.Epoch, p.ParentEpoch, p.Parents.Bytes(), p.Grandparents.Bytes(), p.Digest, winCount, template, Signing)
	if err != nil {
		return fmt.Errorf("insert block: %w", err)
	}
	return nil
}

// touched reads the own blocks that matter to a proposal; the statement says what guard.Proposal.Touches says.
func (m *Miner) touched(ctx context.Context, tx *sql.Tx, p guard.Proposal) ([]guard.Entry, error) {
	list, err := scanBlocks(tx.QueryContext(ctx, selectBlocks+" WHERE miner=? AND (epoch IN (?,?) OR parent_epoch IN (?,?))",
		m.key, p.Epoch, p.ParentEpoch, p.ParentEpoch, p.Epoch))
	if err != nil {
		return nil, err
	}
	out := make([]guard.Entry, len(list))
	for i, b := range list {
		out[i] = b.Entry
	}
	return out, nil
}

// State is how a recorded block fared.
type State string

// The states, in the order a block passes them.
const (
	Signing   State = "signing"
	Submitted State = "submitted"
	Failed    State = "failed"   // the node refused it for good
	Orphaned  State = "orphaned" // the chain went on without it
	Landed    State = "landed"
)

// Block is one recorded block, for people and for sending it again.
type Block struct {
	guard.Entry
	WinCount int64
	State    State
	Reason   string
	// Template is the block message without signature, nil once it is settled.
	Template []byte
}

const selectBlocks = "SELECT epoch, parent_epoch, parents, grandparents, digest, win_count, template, block, state, reason, void FROM blocks"

func scanBlocks(rows *sql.Rows, err error) ([]Block, error) {
	if err != nil {
		return nil, fmt.Errorf("read recorded blocks: %w", err)
	}
	defer rows.Close()
	var out []Block
	for rows.Next() {
		var b Block
		var parents, grand []byte
		var block string
		if err := rows.Scan(&b.Epoch, &b.ParentEpoch, &parents, &grand, &b.Digest, &b.WinCount, &b.Template, &block, &b.State, &b.Reason, &b.Void); err != nil {
			return nil, fmt.Errorf("read recorded block: %w", err)
		}
		var errs [3]error
		b.Parents, errs[0] = types.TipSetKeyFromBytes(parents)
		b.Grandparents, errs[1] = types.TipSetKeyFromBytes(grand)
		if block != "" {
			b.Block, errs[2] = cid.Decode(block)
		}
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("recorded block of epoch %d is damaged: %w", b.Epoch, err)
		}
		out = append(out, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read recorded blocks: %w", err)
	}
	return out, nil
}

// Signed notes the CID of a block that was signed, durably, before it is shown to anyone.
func (m *Miner) Signed(ctx context.Context, epoch abi.ChainEpoch, block cid.Cid) error {
	return m.change(ctx, epoch, "block=?", block.String())
}

// Outcome notes how a block fared. void says that the node refused it for good before anyone saw it.
func (m *Miner) Outcome(ctx context.Context, epoch abi.ChainEpoch, s State, reason string, void bool) error {
	set, args := "state=?, reason=?", []any{s, reason}
	if void {
		set += ", void=1"
	}
	if s != Submitted && s != Signing {
		set += ", template=NULL"
	}
	return m.change(ctx, epoch, set, args...)
}

func (m *Miner) change(ctx context.Context, epoch abi.ChainEpoch, set string, args ...any) error {
	err := m.db.Update(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE blocks SET "+set+" WHERE miner=? AND epoch=?", append(args, m.key, epoch)...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			return errors.New("it is not in the record")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what became of the block of epoch %d: %w", epoch, err)
	}
	return nil
}

// RaiseFloor forbids everything up to epoch, durably. A floor never falls.
func (m *Miner) RaiseFloor(ctx context.Context, epoch abi.ChainEpoch, why string) error {
	return m.locked(ctx, func(tx *sql.Tx, floor abi.ChainEpoch) error { return m.raise(ctx, tx, floor, epoch, why) })
}

func (m *Miner) raise(ctx context.Context, tx *sql.Tx, floor, epoch abi.ChainEpoch, why string) error {
	if epoch <= floor {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "UPDATE miners SET floor=?, floor_why=? WHERE miner=?", epoch, why, m.key); err != nil {
		return fmt.Errorf("raise the floor of %s to %d: %w", m.addr, epoch, err)
	}
	return nil
}

// Status is how complete a record can be.
type Status struct {
	// Floor is the highest epoch at which nothing new may be signed, Why the reason.
	Floor abi.ChainEpoch
	Why   string
	// Alive is when the miner was last known to mine with this record; zero for a record that was never used.
	Alive time.Time
}

// Status reads the floor and when the record was used last.
func (m *Miner) Status(ctx context.Context) (Status, error) {
	var s Status
	var alive int64
	err := m.db.R.QueryRowContext(ctx, "SELECT floor, floor_why, alive_at FROM miners WHERE miner=?", m.key).Scan(&s.Floor, &s.Why, &alive)
	if errors.Is(err, sql.ErrNoRows) {
		return Status{}, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("read record of %s: %w", m.addr, err)
	}
	if alive != 0 {
		s.Alive = time.Unix(0, alive).UTC()
	}
	return s, nil
}

// Live notes that the miner mines with this record.
func (m *Miner) Live(ctx context.Context, now time.Time) error {
	return m.locked(ctx, func(tx *sql.Tx, _ abi.ChainEpoch) error {
		_, err := tx.ExecContext(ctx, "UPDATE miners SET alive_at=? WHERE miner=?", now.UnixNano(), m.key)
		return err
	})
}

// Knows tells whether a block of the chain is in the record, or lies where the record may have holes anyway.
func (m *Miner) Knows(ctx context.Context, epoch abi.ChainEpoch, block cid.Cid) (bool, error) {
	s, err := m.Status(ctx)
	if err != nil || epoch <= s.Floor {
		return err == nil, err
	}
	list, err := scanBlocks(m.db.R.QueryContext(ctx, selectBlocks+" WHERE miner=? AND epoch=?", m.key, epoch))
	if err != nil || len(list) == 0 {
		return false, err
	}
	return list[0].Block == block || !list[0].Block.Defined(), nil
}

// At returns the recorded block of an epoch.
func (m *Miner) At(ctx context.Context, epoch abi.ChainEpoch) (b Block, ok bool, err error) {
	list, err := scanBlocks(m.db.R.QueryContext(ctx, selectBlocks+" WHERE miner=? AND epoch=?", m.key, epoch))
	if err != nil || len(list) == 0 {
		return Block{}, false, err
	}
	return list[0], true, nil
}

// On lists the blocks with given parents, newest first.
func (m *Miner) On(ctx context.Context, parents types.TipSetKey, height abi.ChainEpoch) ([]Block, error) {
	return scanBlocks(m.db.R.QueryContext(ctx, selectBlocks+" WHERE miner=? AND parent_epoch=? AND parents=? ORDER BY epoch DESC", m.key, height, parents.Bytes()))
}

// Unsettled lists the blocks whose fate is not known, oldest first.
func (m *Miner) Unsettled(ctx context.Context) ([]Block, error) {
	return scanBlocks(m.db.R.QueryContext(ctx, selectBlocks+" WHERE miner=? AND state IN (?,?) ORDER BY epoch", m.key, Signing, Submitted))
}

// Blocks returns up to limit blocks, newest first.
func (m *Miner) Blocks(ctx context.Context, limit int) ([]Block, error) {
	return scanBlocks(m.db.R.QueryContext(ctx, selectBlocks+" WHERE miner=? ORDER BY epoch DESC LIMIT ?", m.key, limit))
}
