package store

import (
	"context"
	"fmt"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/messager/machine"
)

// anyMethod is how machine.AnyMethod is stored.
const anyMethod = -1

func storedMethod(m abi.MethodNum) int64 {
	if m == machine.AnyMethod {
		return anyMethod
	}
	return int64(m)
}

// PutRule stores a fee rule in the place of the one about the same messages.
func (t *Tx) PutRule(r machine.Rule) error {
	err := t.upsert("fee_rules", []string{"sender", "actor", "method"}, []string{"over_estimation", "max_fee", "max_fee_cap"},
		r.Sender.Bytes(), r.Actor.Bytes(), storedMethod(r.Method), r.Limits.GasOverEstimation, text(r.Limits.MaxFee), text(r.Limits.MaxFeeCap))
	if err != nil {
		return fmt.Errorf("store fee rule: %w", err)
	}
	return nil
}

// DropRule forgets the fee rule about these messages; a missing one is ErrNotFound.
func (t *Tx) DropRule(r machine.Rule) error {
	n, err := t.exec("DELETE FROM fee_rules WHERE sender=? AND actor=? AND method=?", r.Sender.Bytes(), r.Actor.Bytes(), storedMethod(r.Method))
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// Rules returns the fee rules.
func (db *DB) Rules(ctx context.Context) ([]machine.Rule, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT sender, actor, method, over_estimation, max_fee, max_fee_cap FROM fee_rules ORDER BY sender, actor, method")
	if err != nil {
		return nil, fmt.Errorf("list fee rules: %w", err)
	}
	defer rows.Close()
	var out []machine.Rule
	for rows.Next() {
		r, err := scanRule(rows)
		if err != nil {
			return nil, fmt.Errorf("list fee rules: %w", err)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

func scanRule(s scanner) (r machine.Rule, err error) {
	var sender, actor []byte
	var method int64
	var maxFee, maxCap string
	if err := s.Scan(&sender, &actor, &method, &r.Limits.GasOverEstimation, &maxFee, &maxCap); err != nil {
		return r, err
	}
	for _, x := range []struct {
		raw  []byte
		into *address.Address
	}{{sender, &r.Sender}, {actor, &r.Actor}} {
		if len(x.raw) == 0 {
			continue
		}
		if *x.into, err = address.NewFromBytes(x.raw); err != nil {
			return r, err
		}
	}
	r.Method = abi.MethodNum(method)
	if method == anyMethod {
		r.Method = machine.AnyMethod
	}
	if r.Limits.MaxFee, err = big.FromString(maxFee); err != nil {
		return r, err
	}
	r.Limits.MaxFeeCap, err = big.FromString(maxCap)
	return r, err
}
