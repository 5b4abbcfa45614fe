package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/sealer/sector"
)

// OutState is where a message of the outbox stands.
type OutState string

// The states of a message of the outbox.
const (
	OutIntended OutState = "intended" // to be pushed, perhaps again
	OutPushed   OutState = "pushed"   // the messager has it
	OutLanded   OutState = "landed"   // executed; Exit tells how
	OutDropped  OutState = "dropped"  // it can never land
)

// OutMessage is a message that concerns several sectors. All of it is fixed
// before it is pushed, so that pushing it again is pushing the same.
type OutMessage struct {
	ID      string
	Kind    sector.Kind
	Method  abi.MethodNum
	Value   abi.TokenAmount
	Params  []byte
	Expire  abi.ChainEpoch // from here on it must not be sent, 0 = never
	Members []abi.SectorNumber
	Why     string // why it was made then, or what it is for
	Created time.Time

	State OutState
	Exit  int64
	Err   string // the latest trouble
	Ended time.Time
}

func putOut(ctx context.Context, t *sql.Tx, m OutMessage) error {
	if m.Value.Nil() {
		m.Value = big.Zero()
	}
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode message %s: %w", m.ID, err)
	}
	return put(ctx, t, "outbox", "id = ?", []any{m.ID}, "id, kind, state, created, body", m.ID, string(m.Kind), string(m.State), m.Created.UnixMilli(), body)
}

// PutOut stores a message of the outbox, with the transitions of the sectors
// that join it: all or nothing.
func (d *DB) PutOut(ctx context.Context, m OutMessage, members ...Change) error {
	return d.tx(ctx, func(t *sql.Tx) error {
		if err := putOut(ctx, t, m); err != nil {
			return err
		}
		for _, c := range members {
			if err := saveSector(ctx, t, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// Outbox lists messages in a state, or all for "", newest first, at most limit (0 = no limit).
func (d *DB) Outbox(ctx context.Context, state OutState, limit int) ([]OutMessage, error) {
	q, args := "SELECT body FROM outbox", []any{}
	if state != "" {
		q, args = q+" WHERE state = ?", append(args, string(state))
	}
	q += " ORDER BY created DESC, id"
	if limit > 0 {
		q, args = q+" LIMIT ?", append(args, limit)
	}
	rows, err := d.sql.R.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	defer rows.Close()
	var out []OutMessage
	for rows.Next() {
		var (
			raw []byte
			m   OutMessage
		)
		if err := rows.Scan(&raw); err != nil {
			return nil, fmt.Errorf("read outbox: %w", err)
		}
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, fmt.Errorf("decode message of the outbox: %w", err)
		}
		out = append(out, m)
	}
	return out, rows.Err()
}
