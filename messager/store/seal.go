package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/filecoin-venus/venus/api"
)

// Key seals the tokens of wallets and nodes: who reads the database, or a dump of it, does not get them. Only NewKey makes
// one that works.
type Key struct{ gcm cipher.AEAD }

// KeySize is the length of a key's secret in bytes: that of AES-256.
const KeySize = 32

// NewKey makes the key of a secret.
func NewKey(secret []byte) (Key, error) {
	if len(secret) != KeySize {
		return Key{}, fmt.Errorf("key of %d bytes, not %d", len(secret), KeySize)
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return Key{}, fmt.Errorf("make cipher: %w", err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Key{}, fmt.Errorf("make cipher: %w", err)
	}
	return Key{gcm}, nil
}

const (
	// sealedPrefix begins a token that is sealed; tokens of JWT form never do.
	sealedPrefix = "sealed:"
	// keySetting is the row of settings that shows whether a key is the database's.
	keySetting = "token key"
)

// ErrOtherKey: the database's tokens are sealed with another key than the one given.
var ErrOtherKey = errors.New("the tokens in the message database are sealed with another key")

// seal writes a token so that only the key reads it, and only as the token of its place.
func (k Key) seal(place, token string) string {
	if token == "" {
		return ""
	}
	return sealedPrefix + base64.RawStdEncoding.EncodeToString(k.gcm.Seal(nil, nil, []byte(token), []byte(place)))
}

// open reads what seal wrote, and tokens from before they were sealed. One that does not open counts as none: the wallet or
// node refuses it, and the operator gives it again.
func (k Key) open(place, stored string) string {
	text, ok := strings.CutPrefix(stored, sealedPrefix)
	if !ok {
		return stored
	}
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	token, err := k.gcm.Open(nil, nil, raw, []byte(place))
	if err != nil {
		return ""
	}
	return string(token)
}

func walletPlace(name string) string { return "wallets/" + name }
func nodePlace(name string) string   { return "nodes/" + name }

// checkKey compares the key with the database's, which the first to open it chooses, and seals tokens of older versions.
func (db *DB) checkKey(ctx context.Context) error {
	err := db.Update(ctx, func(t *Tx) error {
		var proof string
		err := t.tx.QueryRowContext(ctx, "SELECT value FROM settings WHERE name=?", keySetting).Scan(&proof)
		if errors.Is(err, sql.ErrNoRows) {
			proof = db.key.seal(keySetting, keySetting)
			_, err = t.exec("INSERT INTO settings (name, value) VALUES (?,?)", keySetting, proof)
		}
		if err != nil {
			return err
		}
		if db.key.open(keySetting, proof) != keySetting {
			return api.Errorf(api.CodePrecondition, "%w", ErrOtherKey).
				WithHint("messagers on one database share the file keystore/database-key: copy it from the first one's directory. " +
					"If it is lost, delete the row '" + keySetting + "' of the table settings, start, and give the tokens again: wallet update, node del, node add")
		}
		return errors.Join(t.sealAll("wallets", walletPlace), t.sealAll("nodes", nodePlace))
	})
	if errors.Is(err, ErrExists) {
		return db.checkKey(ctx) // another messager was first, this moment
	}
	return err
}

// sealAll seals the tokens of a table that are not.
func (t *Tx) sealAll(table string, place func(string) string) error {
	rows, err := t.tx.QueryContext(t.ctx, "SELECT name, token FROM "+table+" WHERE token<>'' AND token NOT LIKE '"+sealedPrefix+"%'")
	if err != nil {
		return fmt.Errorf("find tokens of %s: %w", table, err)
	}
	open := map[string]string{}
	for rows.Next() {
		var name, token string
		if err := rows.Scan(&name, &token); err != nil {
			return errors.Join(err, rows.Close())
		}
		open[name] = token
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for name, token := range open {
		if _, err := t.exec("UPDATE "+table+" SET token=? WHERE name=? AND token=?", t.key.seal(place(name), token), name, token); err != nil {
			return fmt.Errorf("seal the token of %s: %w", name, err)
		}
	}
	return nil
}
