-- +goose Up
CREATE TABLE messages (
  id              TEXT    NOT NULL PRIMARY KEY,
  user_name       TEXT    NOT NULL,
  wallet_name     TEXT    NOT NULL,
  from_addr       BLOB    NOT NULL,
  to_addr         BLOB    NOT NULL,
  version         INTEGER NOT NULL,
  nonce           INTEGER,
  value           TEXT    NOT NULL,
  gas_limit       INTEGER NOT NULL,
  gas_fee_cap     TEXT    NOT NULL,
  gas_premium     TEXT    NOT NULL,
  method          INTEGER NOT NULL,
  params          BLOB,
  unsigned_cid    TEXT    NOT NULL,
  signed_cid      TEXT,
  sig             BLOB,
  lane            INTEGER NOT NULL,
  state           INTEGER NOT NULL,
  expire_epoch    INTEGER NOT NULL,
  over_estimation REAL    NOT NULL,
  max_fee         TEXT    NOT NULL,
  max_fee_cap     TEXT    NOT NULL,
  reason          TEXT    NOT NULL,
  error_text      TEXT    NOT NULL,
  tries           INTEGER NOT NULL,
  next_try        INTEGER NOT NULL,
  pushed_at       INTEGER NOT NULL,
  exit_code       INTEGER,
  return_value    BLOB,
  gas_used        INTEGER NOT NULL,
  included_key    BLOB,
  included_height INTEGER NOT NULL,
  executed_key    BLOB,
  executed_height INTEGER NOT NULL,
  rev             INTEGER NOT NULL,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL
);
-- NULL nonces are distinct: only signed messages are bound by it.
CREATE UNIQUE INDEX messages_from_nonce ON messages (from_addr, nonce);
CREATE INDEX messages_from_state ON messages (from_addr, state, lane, created_at);
CREATE INDEX messages_state ON messages (state, created_at);
CREATE INDEX messages_created ON messages (created_at);
CREATE INDEX messages_unsigned ON messages (unsigned_cid);
CREATE INDEX messages_executed ON messages (executed_height);
CREATE TABLE attempts (
  signed_cid   TEXT    NOT NULL PRIMARY KEY,
  unsigned_cid TEXT    NOT NULL,
  message_id   TEXT    NOT NULL,
  signed       BLOB    NOT NULL,
  created_at   INTEGER NOT NULL
);
CREATE INDEX attempts_message ON attempts (message_id);
CREATE INDEX attempts_unsigned ON attempts (unsigned_cid);
CREATE TABLE notes (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  message_id TEXT    NOT NULL,
  at         INTEGER NOT NULL,
  kind       TEXT    NOT NULL,
  text       TEXT    NOT NULL
);
CREATE INDEX notes_message ON notes (message_id, seq);
CREATE TABLE addresses (
  addr            BLOB    NOT NULL PRIMARY KEY,
  next_nonce      INTEGER NOT NULL,
  paused          INTEGER NOT NULL,
  sel_num         INTEGER NOT NULL,
  over_estimation REAL    NOT NULL,
  max_fee         TEXT    NOT NULL,
  max_fee_cap     TEXT    NOT NULL,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL
);
CREATE TABLE wallets (
  name       TEXT    NOT NULL PRIMARY KEY,
  url        TEXT    NOT NULL,
  token      TEXT    NOT NULL,
  removing   INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);
CREATE TABLE wallet_addresses (
  wallet_name TEXT    NOT NULL,
  addr        BLOB    NOT NULL,
  present     INTEGER NOT NULL,
  PRIMARY KEY (wallet_name, addr)
);
CREATE TABLE nodes (
  name  TEXT NOT NULL PRIMARY KEY,
  url   TEXT NOT NULL,
  token TEXT NOT NULL
);
CREATE TABLE settings (
  name  TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
);
CREATE TABLE heads (
  height INTEGER NOT NULL PRIMARY KEY,
  ts_key BLOB    NOT NULL
);
CREATE TABLE leases (
  name    TEXT    NOT NULL PRIMARY KEY,
  holder  TEXT    NOT NULL,
  fence   INTEGER NOT NULL,
  expires INTEGER NOT NULL
);
-- +goose Down
DROP TABLE leases;
DROP TABLE heads;
DROP TABLE settings;
DROP TABLE nodes;
DROP TABLE wallet_addresses;
DROP TABLE wallets;
DROP TABLE addresses;
DROP TABLE notes;
DROP TABLE attempts;
DROP TABLE messages;
