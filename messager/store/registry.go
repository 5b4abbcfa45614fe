package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"

	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/types"
)

// Sender is what is stored of an address.
type Sender struct {
	Addr address.Address
	// NextNonce is behind every nonce this messager signed for the address.
	NextNonce uint64
	Paused    bool
	// SelNum bounds the messages under way; 0 means the shared limit.
	SelNum           uint64
	Limits           machine.Limits
	Created, Updated time.Time
	// ForeignNonce is the last nonce seen that somebody else used, ForeignAt when.
	ForeignNonce uint64
	ForeignAt    time.Time
	// ReplacedDay is the day, counted from 1970, that ReplacedSum, attoFIL, was
	// spent on replacements.
	ReplacedDay int64
	ReplacedSum big.Int
}

// Wallet is a wallet as it is stored.
type Wallet struct {
	Name, URL, Token string
	// Removing: no new messages; the row goes when the last one under way has landed.
	Removing         bool
	Created, Updated time.Time
}

// String leaves the token out.
func (w Wallet) String() string { return w.Name + " " + w.URL }

// GoString leaves the token out.
func (w Wallet) GoString() string { return w.String() }

// WalletAddress says that a wallet holds, or held, an address.
type WalletAddress struct {
	Wallet  string
	Addr    address.Address
	Present bool
}

// Node is a node to publish through besides the main one.
type Node struct {
	Name, URL, Token string
	// Gossip: it only passes messages on to its peers, its pool keeps none.
	Gossip bool
}

// String leaves the token out.
func (n Node) String() string { return n.Name + " " + n.URL }

// GoString leaves the token out.
func (n Node) GoString() string { return n.String() }

const senderColumns = "addr, next_nonce, paused, sel_num, over_estimation, max_fee, max_fee_cap, created_at, updated_at, foreign_nonce, foreign_at, replaced_day, replaced_sum"

func scanSender(s scanner) (Sender, error) {
	var r Sender
	var addr []byte
	var maxFee, maxCap, replaced string
	var paused, created, updated, foreignAt int64
	err := s.Scan(&addr, &r.NextNonce, &paused, &r.SelNum, &r.Limits.GasOverEstimation, &maxFee, &maxCap, &created, &updated, &r.ForeignNonce, &foreignAt, &r.ReplacedDay, &replaced)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNotFound
	}
	if err != nil {
		return r, err
	}
	if r.Addr, err = address.NewFromBytes(addr); err != nil {
		return r, err
	}
	if r.Limits.MaxFee, err = big.FromString(maxFee); err != nil {
		return r, err
	}
	if r.Limits.MaxFeeCap, err = big.FromString(maxCap); err != nil {
		return r, err
	}
	if r.ReplacedSum, err = big.FromString(replaced); err != nil {
		return r, err
	}
	r.ForeignAt = fromNanos(foreignAt)
	r.Paused, r.Created, r.Updated = paused != 0, fromNanos(created), fromNanos(updated)
	return r, nil
}

// Sender returns what is stored of an address, or ErrNotFound.
func (db *DB) Sender(ctx context.Context, a address.Address) (Sender, error) {
	return scanSender(db.r.QueryRowContext(ctx, "SELECT "+senderColumns+" FROM addresses WHERE addr=?", a.Bytes()))
}

// Addresses returns all senders, oldest first.
func (db *DB) Addresses(ctx context.Context) ([]Sender, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT "+senderColumns+" FROM addresses ORDER BY created_at")
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	defer rows.Close()
	var out []Sender
	for rows.Next() {
		s, err := scanSender(rows)
		if err != nil {
			return nil, fmt.Errorf("list addresses: %w", err)
		}
		out = append(out, s)
	}
	return out, rows.Err()
}

// PutSender stores the settings of an address. The nonce of an existing row stays.
func (t *Tx) PutSender(s Sender) error {
	paused := 0
	if s.Paused {
		paused = 1
	}
	n, err := t.exec("UPDATE addresses SET paused=?, sel_num=?, over_estimation=?, max_fee=?, max_fee_cap=?, updated_at=? WHERE addr=?",
		paused, s.SelNum, s.Limits.GasOverEstimation, text(s.Limits.MaxFee), text(s.Limits.MaxFeeCap), nanos(s.Updated), s.Addr.Bytes())
	if err != nil {
		return fmt.Errorf("store address %s: %w", s.Addr, err)
	}
	if n > 0 {
		return nil
	}
	_, err = t.exec("INSERT INTO addresses ("+senderColumns+") VALUES (?,?,?,?,?,?,?,?,?,0,0,0,'0')", s.Addr.Bytes(), int64(s.NextNonce), paused, s.SelNum,
		s.Limits.GasOverEstimation, text(s.Limits.MaxFee), text(s.Limits.MaxFeeCap), nanos(s.Created), nanos(s.Updated))
	if err != nil {
		return fmt.Errorf("store address %s: %w", s.Addr, err)
	}
	return nil
}

// SetNonce moves a sender's next nonce from the value that was read to a new one;
// if it is no longer the value that was read, ErrStale.
func (t *Tx) SetNonce(a address.Address, from, to uint64) error {
	n, err := t.exec("UPDATE addresses SET next_nonce=? WHERE addr=? AND next_nonce=?", int64(to), a.Bytes(), int64(from))
	if err != nil {
		return fmt.Errorf("set nonce of %s: %w", a, err)
	}
	if n != 1 && from != to {
		return fmt.Errorf("nonce of %s: %w", a, ErrStale)
	}
	return nil
}

// Paused tells for those of some addresses that have a row whether they are paused.
func (t *Tx) Paused(as []address.Address) (map[address.Address]bool, error) {
	args := make([]any, len(as))
	for i, a := range as {
		args[i] = a.Bytes()
	}
	rows, err := t.tx.QueryContext(t.ctx, "SELECT addr, paused FROM addresses WHERE addr IN ("+strings.TrimSuffix(strings.Repeat("?,", len(as)), ",")+")", args...)
	if err != nil {
		return nil, fmt.Errorf("look up addresses: %w", err)
	}
	defer rows.Close()
	out := make(map[address.Address]bool, len(as))
	for rows.Next() {
		var raw []byte
		var paused int64
		if err := rows.Scan(&raw, &paused); err != nil {
			return nil, fmt.Errorf("look up addresses: %w", err)
		}
		a, err := address.NewFromBytes(raw)
		if err != nil {
			return nil, fmt.Errorf("look up addresses: %w", err)
		}
		out[a] = paused != 0
	}
	return out, rows.Err()
}

// NextNonce returns a sender's next nonce within the transaction.
func (t *Tx) NextNonce(a address.Address) (uint64, error) {
	var n int64
	if err := t.tx.QueryRowContext(t.ctx, "SELECT next_nonce FROM addresses WHERE addr=?", a.Bytes()).Scan(&n); err != nil {
		return 0, fmt.Errorf("look up nonce of %s: %w", a, err)
	}
	return uint64(n), nil
}

// Foreign notes that somebody else used a sender's nonce.
func (t *Tx) Foreign(a address.Address, nonce uint64, at time.Time) error {
	_, err := t.exec("UPDATE addresses SET foreign_nonce=?, foreign_at=? WHERE addr=?", int64(nonce), nanos(at), a.Bytes())
	return err
}

// Replaced notes what a sender has spent on replacements on a day.
func (t *Tx) Replaced(a address.Address, day int64, sum big.Int) error {
	_, err := t.exec("UPDATE addresses SET replaced_day=?, replaced_sum=? WHERE addr=?", day, text(sum), a.Bytes())
	return err
}

// DropSender forgets an address.
func (t *Tx) DropSender(a address.Address) error {
	_, err := t.exec("DELETE FROM addresses WHERE addr=?", a.Bytes())
	return err
}

// Wallets returns all wallets by name.
func (db *DB) Wallets(ctx context.Context) ([]Wallet, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT name, url, token, removing, created_at, updated_at FROM wallets ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list wallets: %w", err)
	}
	defer rows.Close()
	var out []Wallet
	for rows.Next() {
		var w Wallet
		var removing, created, updated int64
		if err := rows.Scan(&w.Name, &w.URL, &w.Token, &removing, &created, &updated); err != nil {
			return nil, fmt.Errorf("list wallets: %w", err)
		}
		w.Token = db.key.open(walletPlace(w.Name), w.Token)
		w.Removing, w.Created, w.Updated = removing != 0, fromNanos(created), fromNanos(updated)
		out = append(out, w)
	}
	return out, rows.Err()
}

// AddWallet stores a new wallet; a taken name is ErrExists.
func (t *Tx) AddWallet(w Wallet) error {
	_, err := t.exec("INSERT INTO wallets (name, url, token, removing, created_at, updated_at) VALUES (?,?,?,0,?,?)",
		w.Name, w.URL, t.key.seal(walletPlace(w.Name), w.Token), nanos(w.Created), nanos(w.Updated))
	if err != nil {
		return fmt.Errorf("store wallet %s: %w", w.Name, err)
	}
	return nil
}

// ChangeWallet gives a wallet another URL and token; a missing one is ErrNotFound.
func (t *Tx) ChangeWallet(w Wallet) error {
	n, err := t.exec("UPDATE wallets SET url=?, token=?, updated_at=? WHERE name=?", w.URL, t.key.seal(walletPlace(w.Name), w.Token), nanos(w.Updated), w.Name)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// MarkWallet marks a wallet as being removed.
func (t *Tx) MarkWallet(name string, now time.Time) error {
	n, err := t.exec("UPDATE wallets SET removing=1, updated_at=? WHERE name=?", nanos(now), name)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// DropWallet forgets a wallet and its addresses.
func (t *Tx) DropWallet(name string) error {
	if _, err := t.exec("DELETE FROM wallet_addresses WHERE wallet_name=?", name); err != nil {
		return fmt.Errorf("forget addresses of wallet %s: %w", name, err)
	}
	_, err := t.exec("DELETE FROM wallets WHERE name=?", name)
	return err
}

// PutWalletAddress records whether a wallet holds an address.
func (t *Tx) PutWalletAddress(w WalletAddress) error {
	present := 0
	if w.Present {
		present = 1
	}
	return t.upsert("wallet_addresses", []string{"wallet_name", "addr"}, []string{"present"}, w.Wallet, w.Addr.Bytes(), present)
}

// WalletAddresses returns which wallet holds, or held, which address.
func (db *DB) WalletAddresses(ctx context.Context) ([]WalletAddress, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT wallet_name, addr, present FROM wallet_addresses ORDER BY wallet_name, addr")
	if err != nil {
		return nil, fmt.Errorf("list wallet addresses: %w", err)
	}
	defer rows.Close()
	var out []WalletAddress
	for rows.Next() {
		var w WalletAddress
		var raw []byte
		var present int64
		if err := rows.Scan(&w.Wallet, &raw, &present); err != nil {
			return nil, fmt.Errorf("list wallet addresses: %w", err)
		}
		if w.Addr, err = address.NewFromBytes(raw); err != nil {
			return nil, fmt.Errorf("list wallet addresses: %w", err)
		}
		w.Present = present != 0
		out = append(out, w)
	}
	return out, rows.Err()
}

// Nodes returns the additional nodes by name.
func (db *DB) Nodes(ctx context.Context) ([]Node, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT name, url, token, gossip FROM nodes ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	defer rows.Close()
	var out []Node
	for rows.Next() {
		var n Node
		var gossip int64
		if err := rows.Scan(&n.Name, &n.URL, &n.Token, &gossip); err != nil {
			return nil, fmt.Errorf("list nodes: %w", err)
		}
		n.Token = db.key.open(nodePlace(n.Name), n.Token)
		n.Gossip = gossip != 0
		out = append(out, n)
	}
	return out, rows.Err()
}

// AddNode stores an additional node; a taken name is ErrExists.
func (t *Tx) AddNode(n Node) error {
	gossip := 0
	if n.Gossip {
		gossip = 1
	}
	_, err := t.exec("INSERT INTO nodes (name, url, token, gossip) VALUES (?,?,?,?)", n.Name, n.URL, t.key.seal(nodePlace(n.Name), n.Token), gossip)
	return err
}

// DropNode forgets an additional node; a missing one is ErrNotFound.
func (t *Tx) DropNode(name string) error {
	n, err := t.exec("DELETE FROM nodes WHERE name=?", name)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// Setting reads a stored JSON value into v; a missing one is ErrNotFound.
func (db *DB) Setting(ctx context.Context, name string, v any) error {
	var raw string
	err := db.r.QueryRowContext(ctx, "SELECT value FROM settings WHERE name=?", name).Scan(&raw)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("read setting %s: %w", name, err)
	}
	if err := json.Unmarshal([]byte(raw), v); err != nil {
		return fmt.Errorf("decode setting %s: %w", name, err)
	}
	return nil
}

// PutSetting stores a value as JSON.
func (t *Tx) PutSetting(name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode setting %s: %w", name, err)
	}
	return t.upsert("settings", []string{"name"}, []string{"value"}, name, string(raw))
}

// PutHead records that the chain was followed up to a tipset; what was recorded at
// or above its height belonged to another chain and goes.
func (t *Tx) PutHead(ts machine.TipSetRef, keep int) error {
	if _, err := t.exec("DELETE FROM heads WHERE height>=? OR height<?", int64(ts.Height), int64(ts.Height)-int64(keep)); err != nil {
		return fmt.Errorf("record head: %w", err)
	}
	_, err := t.exec("INSERT INTO heads (height, ts_key) VALUES (?,?)", int64(ts.Height), ts.Key.Bytes())
	return err
}

// StartHeads records that the chain was followed up to a tipset and nothing of what is below: without a path to it, what was
// followed before may be of another chain.
func (t *Tx) StartHeads(ts machine.TipSetRef) error {
	if err := t.DropHeads(math.MinInt64); err != nil {
		return err
	}
	return t.PutHead(ts, 0)
}

// LastHead returns the tipset that the chain was followed to last; ok is false when none is recorded.
func (t *Tx) LastHead() (last machine.TipSetRef, ok bool, err error) {
	var height int64
	var raw []byte
	err = t.tx.QueryRowContext(t.ctx, "SELECT height, ts_key FROM heads ORDER BY height DESC LIMIT 1").Scan(&height, &raw)
	if errors.Is(err, sql.ErrNoRows) {
		return last, false, nil
	}
	if err == nil {
		last.Key, err = types.TipSetKeyFromBytes(raw)
	}
	if err != nil {
		return last, false, fmt.Errorf("read the last head: %w", err)
	}
	last.Height = abi.ChainEpoch(height)
	return last, true, nil
}

// Heads returns the recorded tipsets, highest first.
func (db *DB) Heads(ctx context.Context) ([]machine.TipSetRef, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT height, ts_key FROM heads ORDER BY height DESC")
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	defer rows.Close()
	var out []machine.TipSetRef
	for rows.Next() {
		var h int64
		var raw []byte
		if err := rows.Scan(&h, &raw); err != nil {
			return nil, fmt.Errorf("read heads: %w", err)
		}
		key, err := types.TipSetKeyFromBytes(raw)
		if err != nil {
			return nil, fmt.Errorf("read heads: %w", err)
		}
		out = append(out, machine.TipSetRef{Key: key, Height: abi.ChainEpoch(h)})
	}
	return out, rows.Err()
}

// EnsureSender makes a row for an address that has none.
func (t *Tx) EnsureSender(a address.Address, now time.Time) error {
	var n int
	if err := t.tx.QueryRowContext(t.ctx, "SELECT COUNT(*) FROM addresses WHERE addr=?", a.Bytes()).Scan(&n); err != nil {
		return fmt.Errorf("look up address %s: %w", a, err)
	}
	if n > 0 {
		return nil
	}
	err := t.PutSender(Sender{Addr: a, Created: now, Updated: now})
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// DropHeads forgets what was recorded at or above a height.
func (t *Tx) DropHeads(height abi.ChainEpoch) error {
	_, err := t.exec("DELETE FROM heads WHERE height>=?", int64(height))
	return err
}
