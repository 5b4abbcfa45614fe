package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/filecoin-project/go-address"
	"github.com/filecoin-project/go-state-types/abi"
	"github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/go-state-types/crypto"
	"github.com/filecoin-project/go-state-types/exitcode"
	"github.com/ipfs/go-cid"

	"github.com/filecoin-venus/venus/messager/machine"
	"github.com/filecoin-venus/venus/types"
)

// columns of messages, in the order of values and scan.
var columns = []string{
	"id", "user_name", "wallet_name", "from_addr", "to_addr", "version", "nonce", "value", "gas_limit", "gas_fee_cap",
	"gas_premium", "method", "params", "unsigned_cid", "signed_cid", "sig", "lane", "state", "expire_epoch", "over_estimation",
	"max_fee", "max_fee_cap", "reason", "error_text", "tries", "next_try", "pushed_at", "exit_code", "return_value", "gas_used",
	"included_key", "included_height", "executed_key", "executed_height", "rev", "created_at", "updated_at", "spent",
}

const maxErrorText = 16 << 10

func text(b big.Int) string {
	if b.Int == nil {
		return "0"
	}
	return b.String()
}

func values(m *machine.Message) []any {
	var nonce, signed, exit any
	var sig, ret []byte
	gasUsed := int64(0)
	if m.State.HasNonce() {
		nonce = int64(m.Msg.Nonce)
	}
	if m.Sig != nil {
		signed = m.SignedCid.String()
		sig = append([]byte{byte(m.Sig.Type)}, m.Sig.Data...)
	}
	if m.Receipt != nil {
		exit, ret, gasUsed = int64(m.Receipt.ExitCode), m.Receipt.Return, m.Receipt.GasUsed
	}
	errText := m.Error
	if len(errText) > maxErrorText {
		errText = strings.ToValidUTF8(errText[:maxErrorText], "")
	}
	return []any{
		m.ID, m.User, m.Wallet, m.Msg.From.Bytes(), m.Msg.To.Bytes(), int64(m.Msg.Version), nonce, text(m.Msg.Value), m.Msg.GasLimit, text(m.Msg.GasFeeCap),
		text(m.Msg.GasPremium), int64(m.Msg.Method), m.Msg.Params, m.UnsignedCid.String(), signed, sig, int(m.Lane), int(m.State), int64(m.Limits.ExpireEpoch), m.Limits.GasOverEstimation,
		text(m.Limits.MaxFee), text(m.Limits.MaxFeeCap), string(m.Reason), errText, m.Tries, nanos(m.NextTry), nanos(m.PushedAt), exit, ret, gasUsed,
		m.Included.Key.Bytes(), int64(m.Included.Height), m.Executed.Key.Bytes(), int64(m.Executed.Height), m.Rev, nanos(m.Created), nanos(m.Updated), text(m.Spent),
	}
}

type scanner interface{ Scan(...any) error }

// row is a message as the database gives it.
type row struct {
	from, to, params, sig, ret, incKey, exeKey []byte
	nonce, exit                                sql.NullInt64
	signed                                     sql.NullString
	value, cap, premium, maxFee, maxCap, spent string
	unsigned, reason                           string
	method, next, pushed, gasUsed              int64
	incHeight, exeHeight, created, updated     int64
}

func scan(s scanner) (machine.Message, error) {
	var m machine.Message
	var r row
	err := s.Scan(&m.ID, &m.User, &m.Wallet, &r.from, &r.to, &m.Msg.Version, &r.nonce, &r.value, &m.Msg.GasLimit, &r.cap,
		&r.premium, &r.method, &r.params, &r.unsigned, &r.signed, &r.sig, &m.Lane, &m.State, &m.Limits.ExpireEpoch, &m.Limits.GasOverEstimation,
		&r.maxFee, &r.maxCap, &r.reason, &m.Error, &m.Tries, &r.next, &r.pushed, &r.exit, &r.ret, &r.gasUsed,
		&r.incKey, &r.incHeight, &r.exeKey, &r.exeHeight, &m.Rev, &r.created, &r.updated, &r.spent)
	if err != nil {
		return m, err
	}
	if err := r.fill(&m); err != nil {
		return m, fmt.Errorf("read message %s: %w", m.ID, err)
	}
	return m, nil
}

func (r *row) fill(m *machine.Message) (err error) {
	if m.Msg.From, err = address.NewFromBytes(r.from); err != nil {
		return err
	}
	if m.Msg.To, err = address.NewFromBytes(r.to); err != nil {
		return err
	}
	for _, a := range []struct {
		from string
		into *big.Int
	}{{r.value, &m.Msg.Value}, {r.cap, &m.Msg.GasFeeCap}, {r.premium, &m.Msg.GasPremium}, {r.maxFee, &m.Limits.MaxFee}, {r.maxCap, &m.Limits.MaxFeeCap}, {r.spent, &m.Spent}} {
		if *a.into, err = big.FromString(a.from); err != nil {
			return err
		}
	}
	if m.UnsignedCid, err = cid.Decode(r.unsigned); err != nil {
		return err
	}
	if r.signed.Valid {
		if m.SignedCid, err = cid.Decode(r.signed.String); err != nil {
			return err
		}
	}
	if len(r.sig) > 0 {
		m.Sig = &crypto.Signature{Type: crypto.SigType(r.sig[0]), Data: r.sig[1:]}
	}
	m.Msg.Nonce, m.Msg.Method, m.Msg.Params = uint64(r.nonce.Int64), abi.MethodNum(r.method), r.params
	m.Reason, m.NextTry, m.PushedAt = machine.Reason(r.reason), fromNanos(r.next), fromNanos(r.pushed)
	if r.exit.Valid {
		m.Receipt = &types.MessageReceipt{ExitCode: exitcode.ExitCode(r.exit.Int64), Return: r.ret, GasUsed: r.gasUsed}
	}
	if m.Included.Key, err = types.TipSetKeyFromBytes(r.incKey); err != nil {
		return err
	}
	if m.Executed.Key, err = types.TipSetKeyFromBytes(r.exeKey); err != nil {
		return err
	}
	m.Included.Height, m.Executed.Height = abi.ChainEpoch(r.incHeight), abi.ChainEpoch(r.exeHeight)
	m.Created, m.Updated = fromNanos(r.created), fromNanos(r.updated)
	return nil
}

// Insert adds a new message; a taken id is ErrExists.
func (t *Tx) Insert(m *machine.Message, n machine.Note) error {
	if err := t.InsertAll([]*machine.Message{m}); err != nil {
		return fmt.Errorf("insert message %s: %w", m.ID, err)
	}
	t.Note(m.ID, n)
	return nil
}

// InsertAll adds new messages, without a word in their histories; if any id is taken,
// ErrExists, and none is added.
func (t *Tx) InsertAll(ms []*machine.Message) error {
	args := make([]any, 0, len(ms)*len(columns))
	for _, m := range ms {
		args = append(args, values(m)...)
	}
	return t.insertMany("messages ("+strings.Join(columns, ",")+")", len(columns), args)
}

// Write stores a changed message over the revision it was read with, and its
// note. The stored revision is one higher; the caller's copy is updated too.
func (t *Tx) Write(m *machine.Message, n machine.Note) error { return t.Change(nil, m, n) }

// Change is Write for who still has the message as it was read: only what differs is
// written, which spares the indexes.
func (t *Tx) Change(old, m *machine.Message, n machine.Note) error {
	rev := m.Rev
	m.Rev++
	var sets []string
	var args []any
	now := values(m)
	var was []any
	if old != nil {
		was = values(old)
	}
	for i, c := range columns[1:] {
		if was == nil || !sameValue(was[i+1], now[i+1]) {
			sets, args = append(sets, c+"=?"), append(args, now[i+1])
		}
	}
	count, err := t.exec("UPDATE messages SET "+strings.Join(sets, ",")+" WHERE id=? AND rev=?", append(args, m.ID, rev)...)
	if err == nil && count != 1 {
		err = ErrStale
	}
	if err != nil {
		m.Rev = rev
		return fmt.Errorf("write message %s: %w", m.ID, err)
	}
	t.Note(m.ID, n)
	return nil
}

func sameValue(a, b any) bool {
	x, isBytes := a.([]byte)
	y, bothBytes := b.([]byte)
	if isBytes && bothBytes {
		return bytes.Equal(x, y)
	}
	return isBytes == bothBytes && a == b
}

// Note adds a line to a message's history; an empty note adds nothing.
func (t *Tx) Note(id string, n machine.Note) {
	if n.Kind == "" {
		return
	}
	body := n.Text
	if len(body) > maxErrorText {
		body = strings.ToValidUTF8(body[:maxErrorText], "")
	}
	t.notes = append(t.notes, id, nanos(n.At), n.Kind, body)
}

// Attempt keeps the signed bytes of a message's newest attempt for ever: any of
// them may be the one that lands.
func (t *Tx) Attempt(m *machine.Message) error {
	raw, err := m.Signed().Serialize()
	if err != nil {
		return fmt.Errorf("encode attempt: %w", err)
	}
	t.attempts = append(t.attempts, m.SignedCid.String(), m.UnsignedCid.String(), m.ID, raw, nanos(m.Updated))
	return nil
}

// Get returns a message within the transaction.
func (t *Tx) Get(id string) (machine.Message, error) {
	return one(t.tx.QueryRowContext(t.ctx, selectMessages+" WHERE id=?", id))
}

// ByNonce returns the message that owns a nonce, within the transaction.
func (t *Tx) ByNonce(from address.Address, nonce uint64) (machine.Message, error) {
	return one(t.tx.QueryRowContext(t.ctx, selectMessages+" WHERE from_addr=? AND nonce=?", from.Bytes(), int64(nonce)))
}

// ExecutedAt returns the messages whose fate was decided by tipsets at or above a
// height, within the transaction.
func (t *Tx) ExecutedAt(height abi.ChainEpoch) ([]machine.Message, error) {
	rows, err := t.tx.QueryContext(t.ctx, selectMessages+" WHERE executed_height>=? AND state IN (?,?)", int64(height), int(machine.OnChain), int(machine.Conflict))
	return all(rows, err)
}

var selectMessages = "SELECT " + strings.Join(columns, ",") + " FROM messages"

func one(s scanner) (machine.Message, error) {
	m, err := scan(s)
	if errors.Is(err, sql.ErrNoRows) {
		return m, ErrNotFound
	}
	return m, err
}

func all(rows *sql.Rows, err error) ([]machine.Message, error) {
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	defer rows.Close()
	var out []machine.Message
	for rows.Next() {
		m, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, rows.Err()
}

// Get returns a message by id, or ErrNotFound.
func (db *DB) Get(ctx context.Context, id string) (machine.Message, error) {
	return one(db.r.QueryRowContext(ctx, selectMessages+" WHERE id=?", id))
}

// ByNonce returns the message that owns a sender's nonce, or ErrNotFound.
func (db *DB) ByNonce(ctx context.Context, from address.Address, nonce uint64) (machine.Message, error) {
	return one(db.r.QueryRowContext(ctx, selectMessages+" WHERE from_addr=? AND nonce=?", from.Bytes(), int64(nonce)))
}

// BySignedCid returns the message that one of the attempts belongs to, or ErrNotFound.
func (db *DB) BySignedCid(ctx context.Context, c cid.Cid) (machine.Message, error) {
	return one(db.r.QueryRowContext(ctx, selectMessages+" WHERE id=(SELECT message_id FROM attempts WHERE signed_cid=?)", c.String()))
}

// ByUnsignedCid returns the oldest message with this unsigned CID, of any attempt,
// or ErrNotFound.
func (db *DB) ByUnsignedCid(ctx context.Context, c cid.Cid) (machine.Message, error) {
	return one(db.r.QueryRowContext(ctx, selectMessages+
		" WHERE unsigned_cid=? OR id IN (SELECT message_id FROM attempts WHERE unsigned_cid=?) ORDER BY created_at LIMIT 1", c.String(), c.String()))
}

// Attempts returns everything ever signed for a message, oldest first.
func (db *DB) Attempts(ctx context.Context, id string) ([]*types.SignedMessage, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT signed FROM attempts WHERE message_id=? ORDER BY created_at, signed_cid", id)
	if err != nil {
		return nil, fmt.Errorf("read attempts of %s: %w", id, err)
	}
	defer rows.Close()
	var out []*types.SignedMessage
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, fmt.Errorf("read attempts of %s: %w", id, err)
		}
		sm, err := types.DecodeSignedMessage(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, sm)
	}
	return out, rows.Err()
}

// Notes returns a message's history, oldest first.
func (db *DB) Notes(ctx context.Context, id string) ([]machine.Note, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT at, kind, text FROM notes WHERE message_id=? ORDER BY seq", id)
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", id, err)
	}
	defer rows.Close()
	var out []machine.Note
	for rows.Next() {
		var n machine.Note
		var at int64
		if err := rows.Scan(&at, &n.Kind, &n.Text); err != nil {
			return nil, fmt.Errorf("read history of %s: %w", id, err)
		}
		n.At = fromNanos(at)
		out = append(out, n)
	}
	return out, rows.Err()
}

// Query selects messages. Zero values do not filter.
type Query struct {
	From    []address.Address
	States  []machine.State
	Wallet  string
	User    string
	Failing bool
	// Before keeps messages created before it.
	Before        time.Time
	Offset, Limit int
	Ascending     bool
	// ByNonce orders by nonce instead of by age.
	ByNonce bool
}

// List returns the messages a query selects.
func (db *DB) List(ctx context.Context, q Query) ([]machine.Message, error) {
	where, args := q.where()
	order := "created_at DESC, id DESC"
	switch {
	case q.ByNonce:
		order = "nonce"
	case q.Ascending:
		order = "created_at, id"
	}
	query := selectMessages + where + " ORDER BY " + order
	if q.Limit > 0 {
		query += " LIMIT ? OFFSET ?"
		args = append(args, q.Limit, q.Offset)
	}
	rows, err := db.r.QueryContext(ctx, query, args...)
	return all(rows, err)
}

// Count returns how many messages a query selects, whatever its page.
func (db *DB) Count(ctx context.Context, q Query) (int, error) {
	where, args := q.where()
	var n int
	if err := db.r.QueryRowContext(ctx, "SELECT COUNT(*) FROM messages"+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("count messages: %w", err)
	}
	return n, nil
}

func (q Query) where() (string, []any) {
	var conds []string
	var args []any
	add := func(cond string, a ...any) { conds, args = append(conds, cond), append(args, a...) }
	if len(q.From) > 0 {
		list := make([]any, len(q.From))
		for i, a := range q.From {
			list[i] = a.Bytes()
		}
		add("from_addr IN ("+strings.TrimSuffix(strings.Repeat("?,", len(list)), ",")+")", list...)
	}
	if len(q.States) > 0 {
		list := make([]any, len(q.States))
		for i, s := range q.States {
			list[i] = int(s)
		}
		add("state IN ("+strings.TrimSuffix(strings.Repeat("?,", len(list)), ",")+")", list...)
	}
	if q.Wallet != "" {
		add("wallet_name=?", q.Wallet)
	}
	if q.User != "" {
		add("user_name=?", q.User)
	}
	if q.Failing {
		add("error_text<>''")
	}
	if !q.Before.IsZero() {
		add("created_at<?", nanos(q.Before))
	}
	if len(conds) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(conds, " AND "), args
}

// Due returns a sender's queued messages whose back-off is over, most urgent first.
func (db *DB) Due(ctx context.Context, from address.Address, now time.Time, limit int) ([]machine.Message, error) {
	rows, err := db.r.QueryContext(ctx, selectMessages+" WHERE from_addr=? AND state=? AND next_try<=? ORDER BY lane, created_at, id LIMIT ?",
		from.Bytes(), int(machine.Queued), nanos(now), limit)
	return all(rows, err)
}

// NextTry returns when a sender's earliest back-off among unfinished messages
// ends; the zero time when there is none.
func (db *DB) NextTry(ctx context.Context, from address.Address, after time.Time) (time.Time, error) {
	var at sql.NullInt64
	err := db.r.QueryRowContext(ctx, "SELECT MIN(next_try) FROM messages WHERE from_addr=? AND state IN (?,?,?) AND next_try>?",
		from.Bytes(), int(machine.Queued), int(machine.Signed), int(machine.Pending), nanos(after)).Scan(&at)
	if err != nil {
		return time.Time{}, fmt.Errorf("find next try of %s: %w", from, err)
	}
	return fromNanos(at.Int64), nil
}

// Nonces returns the nonces at or above one that a sender's messages own.
func (db *DB) Nonces(ctx context.Context, from address.Address, least uint64) ([]uint64, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT nonce FROM messages WHERE from_addr=? AND nonce>=? ORDER BY nonce", from.Bytes(), int64(least))
	if err != nil {
		return nil, fmt.Errorf("list nonces of %s: %w", from, err)
	}
	defer rows.Close()
	var out []uint64
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, fmt.Errorf("list nonces of %s: %w", from, err)
		}
		out = append(out, uint64(n))
	}
	return out, rows.Err()
}

// Senders returns the addresses that have unfinished messages.
func (db *DB) Senders(ctx context.Context) ([]address.Address, error) {
	rows, err := db.r.QueryContext(ctx, "SELECT DISTINCT from_addr FROM messages WHERE state IN (?,?,?)", int(machine.Queued), int(machine.Signed), int(machine.Pending))
	if err != nil {
		return nil, fmt.Errorf("list senders: %w", err)
	}
	defer rows.Close()
	var out []address.Address
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, fmt.Errorf("list senders: %w", err)
		}
		a, err := address.NewFromBytes(raw)
		if err != nil {
			return nil, fmt.Errorf("list senders: %w", err)
		}
		out = append(out, a)
	}
	return out, rows.Err()
}
