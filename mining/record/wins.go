package record

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/types"
)

// States of a win that no block is recorded for: one that may still get it, and one that came to nothing.
const (
	Pending State = "won"
	Missed  State = "missed"
)

// pendingReason is the reason of a pending win in the table.
const pendingReason = "no block was made yet"

// Mark is one moment in the story of a win.
type Mark struct {
	At   time.Time
	What string
}

// Win is a won election and what came of it, or a block whose election was won elsewhere: its record was imported.
type Win struct {
	Epoch    abi.ChainEpoch
	WinCount int64
	// State is that of the block, or Pending, or Missed.
	State State
	// Reason says why it did not land, "" when it did or may still.
	Reason string
	// Block is undefined and Parents empty when nothing was signed.
	Block   cid.Cid
	Parents types.TipSetKey
	Story   []Mark
}

// maxStory bounds the JSON of a story, in bytes; a win that is tried on base after base keeps its beginning.
const maxStory = 16 << 10

// Won notes a won election and what is known of it so far; said again it replaces reason and story. Without a reason the
// win is pending.
func (m *Miner) Won(ctx context.Context, w Win) error {
	if w.Reason == "" {
		w.Reason = pendingReason
	}
	story, err := json.Marshal(w.Story)
	for n := len(w.Story); err == nil && len(story) > maxStory; {
		n /= 2
		story, err = json.Marshal(w.Story[:n])
	}
	if err == nil {
		err = m.db.Update(ctx, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, m.db.Ignore()+" INTO wins (miner, epoch, win_count, reason, story) VALUES (?,?,?,'','')", m.key, w.Epoch, w.WinCount); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "UPDATE wins SET win_count=?, reason=?, story=? WHERE miner=? AND epoch=?", w.WinCount, w.Reason, string(story), m.key, w.Epoch)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("note the win of epoch %d: %w", w.Epoch, err)
	}
	return nil
}

// Abandon closes wins below an epoch that nobody makes a block for any more.
func (m *Miner) Abandon(ctx context.Context, below abi.ChainEpoch) error {
	err := m.db.Update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE wins SET reason=? WHERE miner=? AND epoch<? AND reason=?",
			"the program stopped before the block was made", m.key, below, pendingReason)
		return err
	})
	if err != nil {
		return fmt.Errorf("close old wins of %s: %w", m.addr, err)
	}
	return nil
}

// selectWins reads the newest wins of a range of epochs, and the blocks that no win is noted for. Each half is bounded by
// itself, so that a database reads no more of it than it gives.
const selectWins = `SELECT * FROM (
		SELECT w.epoch, w.win_count, w.reason, w.story, b.state, b.reason AS block_reason, b.block, b.parents
		FROM wins w LEFT JOIN blocks b ON b.miner = w.miner AND b.epoch = w.epoch
		WHERE w.miner=? AND w.epoch BETWEEN ? AND ? ORDER BY w.epoch DESC LIMIT ?) AS won
	UNION ALL SELECT * FROM (
		SELECT b.epoch, b.win_count, '' AS reason, '' AS story, b.state, b.reason AS block_reason, b.block, b.parents FROM blocks b
		WHERE b.miner=? AND b.epoch BETWEEN ? AND ? AND NOT EXISTS (SELECT 1 FROM wins w WHERE w.miner = b.miner AND w.epoch = b.epoch)
		ORDER BY b.epoch DESC LIMIT ?) AS imported
	ORDER BY epoch DESC LIMIT ?`

// Wins lists up to limit wins and imported blocks of epochs below before (0 = all), newest first.
func (m *Miner) Wins(ctx context.Context, before abi.ChainEpoch, limit int) ([]Win, error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	return m.wins(ctx, 0, before-1, limit)
}

// WinAt returns the win of an epoch, or the block of it that was imported.
func (m *Miner) WinAt(ctx context.Context, epoch abi.ChainEpoch) (w Win, ok bool, err error) {
	list, err := m.wins(ctx, epoch, epoch, 1)
	if err != nil || len(list) == 0 {
		return Win{}, false, err
	}
	return list[0], true, nil
}

func (m *Miner) wins(ctx context.Context, from, to abi.ChainEpoch, limit int) ([]Win, error) {
	return m.scanWins(m.db.R.QueryContext(ctx, selectWins, m.key, from, to, limit, m.key, from, to, limit, limit))
}

func (m *Miner) scanWins(rows *sql.Rows, err error) ([]Win, error) {
	if err != nil {
		return nil, fmt.Errorf("read wins of %s: %w", m.addr, err)
	}
	defer rows.Close()
	var out []Win
	for rows.Next() {
		w := Win{State: Missed}
		var story string
		var state, reason, block sql.NullString
		var parents []byte
		if err := rows.Scan(&w.Epoch, &w.WinCount, &w.Reason, &story, &state, &reason, &block, &parents); err != nil {
			return nil, fmt.Errorf("read win of %s: %w", m.addr, err)
		}
		if story != "" {
			if err := json.Unmarshal([]byte(story), &w.Story); err != nil {
				return nil, fmt.Errorf("story of the win of epoch %d: %w", w.Epoch, err)
			}
		}
		switch {
		case state.Valid:
			w.State, w.Reason = State(state.String), reason.String
		case w.Reason == pendingReason:
			w.State, w.Reason = Pending, ""
		}
		if block.String != "" {
			if w.Block, err = cid.Decode(block.String); err != nil {
				return nil, fmt.Errorf("block of epoch %d: %w", w.Epoch, err)
			}
		}
		if w.Parents, err = types.TipSetKeyFromBytes(parents); err != nil {
			return nil, fmt.Errorf("parents of the block of epoch %d: %w", w.Epoch, err)
		}
		out = append(out, w)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read wins of %s: %w", m.addr, err)
	}
	return out, nil
}

// Bucket is how many epochs are counted together: a day of a public network.
const Bucket = 2880

// Round is one election that was held: its chance to be won, the expected and the drawn number of wins.
type Round struct {
	Epoch            abi.ChainEpoch
	Chance, Expected float64
	Wins             int64
}

// Count adds rounds, in rising order, to the statistics. Rounds up to the last that was counted, also by another program,
// are left out.
func (m *Miner) Count(ctx context.Context, rounds []Round) error {
	if len(rounds) == 0 {
		return nil
	}
	err := m.locked(ctx, func(tx *sql.Tx, _ abi.ChainEpoch) error {
		var upto abi.ChainEpoch
		err := tx.QueryRowContext(ctx, "SELECT epoch FROM counted WHERE miner=?", m.key).Scan(&upto)
		if errors.Is(err, sql.ErrNoRows) {
			_, err = tx.ExecContext(ctx, "INSERT INTO counted (miner, epoch) VALUES (?,0)", m.key)
		}
		if err != nil {
			return err
		}
		sums := map[int64]*Tally{}
		for _, r := range rounds {
			if r.Epoch > upto {
				upto = r.Epoch
				b := int64(r.Epoch) / Bucket
				if sums[b] == nil {
					sums[b] = new(Tally)
				}
				sums[b].add(r)
			}
		}
		for b, t := range sums {
			if _, err := tx.ExecContext(ctx, m.db.Ignore()+" INTO tallies (miner, bucket, rounds, chance, expected, won, wins) VALUES (?,?,0,0,0,0,0)", m.key, b); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE tallies SET rounds=rounds+?, chance=chance+?, expected=expected+?, won=won+?, wins=wins+? WHERE miner=? AND bucket=?",
				t.Rounds, t.Chance, t.Expected, t.Won, t.Wins, m.key, b); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, "UPDATE counted SET epoch=? WHERE miner=?", upto, m.key)
		return err
	})
	if err != nil {
		return fmt.Errorf("count rounds of %s: %w", m.addr, err)
	}
	return nil
}

// Tally is the sum of many rounds, and what became of their wins.
type Tally struct {
	// From is the first and To the last epoch of the span that was asked for.
	From, To abi.ChainEpoch
	// Rounds were held. Chance sums their chances to be won, Won those that were; Expected and Wins are the sums of win
	// counts.
	Rounds           int64
	Chance, Expected float64
	Won, Wins        int64
	// Blocks counts the wins by the state they are in, Pending and Missed among them.
	Blocks map[State]int64
}

func (t *Tally) add(r Round) {
	t.Rounds++
	t.Chance += r.Chance
	t.Expected += r.Expected
	t.Wins += r.Wins
	if r.Wins > 0 {
		t.Won++
	}
}

// Tally sums the buckets from the one that holds epoch from up to the present.
func (m *Miner) Tally(ctx context.Context, from abi.ChainEpoch) (Tally, error) {
	t := Tally{From: from / Bucket * Bucket, Blocks: map[State]int64{}}
	fail := func(err error) (Tally, error) { return Tally{}, fmt.Errorf("statistics of %s: %w", m.addr, err) }
	row := m.db.R.QueryRowContext(ctx, `SELECT COALESCE(SUM(rounds),0), COALESCE(SUM(chance),0), COALESCE(SUM(expected),0), COALESCE(SUM(won),0), COALESCE(SUM(wins),0)
		FROM tallies WHERE miner=? AND bucket>=?`, m.key, int64(t.From)/Bucket)
	if err := row.Scan(&t.Rounds, &t.Chance, &t.Expected, &t.Won, &t.Wins); err != nil {
		return fail(err)
	}
	if err := m.db.R.QueryRowContext(ctx, "SELECT COALESCE(MAX(epoch),0) FROM counted WHERE miner=?", m.key).Scan(&t.To); err != nil {
		return fail(err)
	}
	rows, err := m.db.R.QueryContext(ctx, `SELECT COALESCE(b.state, CASE WHEN w.reason=? THEN ? ELSE ? END), COUNT(*) FROM wins w LEFT JOIN blocks b ON b.miner = w.miner AND b.epoch = w.epoch
		WHERE w.miner=? AND w.epoch>=? GROUP BY 1`, pendingReason, Pending, Missed, m.key, t.From)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s State
		var n int64
		if err := rows.Scan(&s, &n); err != nil {
			return fail(err)
		}
		t.Blocks[s] += n
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	return t, nil
}
