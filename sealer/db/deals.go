package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/filecoin-venus/venus/sealer/sector"
)

// DealState is how far the data of a deal is. Which sector has a deal is told by the sectors' records alone.
type DealState string

// The states of a deal's data.
const (
	DealImporting DealState = "importing" // it is copied
	DealHere      DealState = "here"      // it waits for a sector, or its sector for finality
	DealDone      DealState = "done"      // a sector holds it for good; the copy is deleted
	DealExpired   DealState = "expired"   // the deal started without a sector; the copy is deleted
	DealFailed    DealState = "failed"    // Err tells why; it may be imported again
)

// DealRecord is a deal whose data was brought.
type DealRecord struct {
	sector.Deal // Since is when the data was there
	Verified    bool
	Source      string // the file it came from
	Bytes       int64  // of that file
	File        string // where its copy lies
	State       DealState
	Err         string
	Created     time.Time
}

// PutDeal stores a deal.
func (d *DB) PutDeal(ctx context.Context, r DealRecord) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode deal %d: %w", r.ID, err)
	}
	return d.tx(ctx, func(t *sql.Tx) error {
		return put(ctx, t, "deals", "id = ?", []any{uint64(r.ID)}, "id, body", uint64(r.ID), body)
	})
}

// Deals loads all deals by id.
func (d *DB) Deals(ctx context.Context) ([]DealRecord, error) {
	rows, err := d.sql.R.QueryContext(ctx, "SELECT body FROM deals ORDER BY id")
	if err != nil {
		return nil, fmt.Errorf("read deals: %w", err)
	}
	defer rows.Close()
	var out []DealRecord
	for rows.Next() {
		var (
			raw []byte
			r   DealRecord
		)
		if err := rows.Scan(&raw); err != nil {
			return nil, fmt.Errorf("read deals: %w", err)
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("decode deal: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}
