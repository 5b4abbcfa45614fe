-- +goose Up
CREATE TABLE IF NOT EXISTS miners (
  miner      VARBINARY(64) NOT NULL PRIMARY KEY,
  floor      BIGINT        NOT NULL,
  floor_why  TEXT          NOT NULL,
  alive_at   BIGINT        NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS blocks (
  miner        VARBINARY(64) NOT NULL,
  epoch        BIGINT        NOT NULL,
  parent_epoch BIGINT        NOT NULL,
  parents      BLOB          NOT NULL,
  grandparents BLOB          NOT NULL,
  digest       VARCHAR(64)   NOT NULL,
  win_count    BIGINT        NOT NULL,
  template     MEDIUMBLOB,
  block        VARCHAR(128)  NOT NULL,
  state        VARCHAR(16)   NOT NULL,
  reason       TEXT          NOT NULL,
  void         BOOLEAN       NOT NULL,
  PRIMARY KEY (miner, epoch),
  INDEX blocks_parent_epoch (miner, parent_epoch),
  INDEX blocks_state (miner, state)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS blocks;
DROP TABLE IF EXISTS miners;
