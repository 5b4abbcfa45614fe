-- +goose Up
CREATE TABLE miners (
  miner      BLOB    NOT NULL PRIMARY KEY,
  floor      INTEGER NOT NULL,
  floor_why  TEXT    NOT NULL,
  alive_at   INTEGER NOT NULL
);
CREATE TABLE blocks (
  miner        BLOB    NOT NULL,
  epoch        INTEGER NOT NULL,
  parent_epoch INTEGER NOT NULL,
  parents      BLOB    NOT NULL,
  grandparents BLOB    NOT NULL,
  digest       TEXT    NOT NULL,
  win_count    INTEGER NOT NULL,
  template     BLOB,
  block        TEXT    NOT NULL,
  state        TEXT    NOT NULL,
  reason       TEXT    NOT NULL,
  void         INTEGER NOT NULL,
  PRIMARY KEY (miner, epoch)
);
CREATE INDEX blocks_parent_epoch ON blocks (miner, parent_epoch);
CREATE INDEX blocks_state ON blocks (miner, state);

-- +goose Down
DROP TABLE blocks;
DROP TABLE miners;
