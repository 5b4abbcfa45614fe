-- +goose Up
-- Every change of a table is committed by itself: whatever a crash left is taken up again.
CREATE TABLE IF NOT EXISTS messages (
  id              VARCHAR(128) NOT NULL PRIMARY KEY,
  user_name       VARCHAR(128) NOT NULL,
  wallet_name     VARCHAR(128) NOT NULL,
  from_addr       VARBINARY(64) NOT NULL,
  to_addr         VARBINARY(64) NOT NULL,
  version         BIGINT NOT NULL,
  nonce           BIGINT,
  value           VARCHAR(128) NOT NULL,
  gas_limit       BIGINT NOT NULL,
  gas_fee_cap     VARCHAR(128) NOT NULL,
  gas_premium     VARCHAR(128) NOT NULL,
  method          BIGINT NOT NULL,
  params          MEDIUMBLOB,
  unsigned_cid    VARCHAR(128) NOT NULL,
  signed_cid      VARCHAR(128),
  sig             VARBINARY(256),
  lane            BIGINT NOT NULL,
  state           BIGINT NOT NULL,
  expire_epoch    BIGINT NOT NULL,
  over_estimation DOUBLE NOT NULL,
  max_fee         VARCHAR(128) NOT NULL,
  max_fee_cap     VARCHAR(128) NOT NULL,
  reason          VARCHAR(64) NOT NULL,
  error_text      MEDIUMTEXT NOT NULL,
  tries           BIGINT NOT NULL,
  next_try        BIGINT NOT NULL,
  pushed_at       BIGINT NOT NULL,
  exit_code       BIGINT,
  return_value    MEDIUMBLOB,
  gas_used        BIGINT NOT NULL,
  included_key    BLOB,
  included_height BIGINT NOT NULL,
  executed_key    BLOB,
  executed_height BIGINT NOT NULL,
  rev             BIGINT NOT NULL,
  created_at      BIGINT NOT NULL,
  updated_at      BIGINT NOT NULL,
  -- NULL nonces are distinct: only signed messages are bound by it.
  UNIQUE INDEX messages_from_nonce (from_addr, nonce),
  INDEX messages_from_state (from_addr, state, lane, created_at),
  INDEX messages_state (state, created_at),
  INDEX messages_created (created_at),
  INDEX messages_unsigned (unsigned_cid),
  INDEX messages_executed (executed_height)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS attempts (
  signed_cid      VARCHAR(128) NOT NULL PRIMARY KEY,
  unsigned_cid    VARCHAR(128) NOT NULL,
  message_id      VARCHAR(128) NOT NULL,
  signed          MEDIUMBLOB NOT NULL,
  created_at      BIGINT NOT NULL,
  INDEX attempts_message (message_id),
  INDEX attempts_unsigned (unsigned_cid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS notes (
  seq             BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  message_id      VARCHAR(128) NOT NULL,
  at              BIGINT NOT NULL,
  kind            VARCHAR(64) NOT NULL,
  text            MEDIUMTEXT NOT NULL,
  INDEX notes_message (message_id, seq)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS addresses (
  addr            VARBINARY(64) NOT NULL PRIMARY KEY,
  next_nonce      BIGINT NOT NULL,
  paused          BIGINT NOT NULL,
  sel_num         BIGINT NOT NULL,
  over_estimation DOUBLE NOT NULL,
  max_fee         VARCHAR(128) NOT NULL,
  max_fee_cap     VARCHAR(128) NOT NULL,
  created_at      BIGINT NOT NULL,
  updated_at      BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS wallets (
  name            VARCHAR(128) NOT NULL PRIMARY KEY,
  url             VARCHAR(512) NOT NULL,
  token           TEXT NOT NULL,
  removing        BIGINT NOT NULL,
  created_at      BIGINT NOT NULL,
  updated_at      BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS wallet_addresses (
  wallet_name     VARCHAR(128) NOT NULL,
  addr            VARBINARY(64) NOT NULL,
  present         BIGINT NOT NULL,
  PRIMARY KEY (wallet_name, addr)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS nodes (
  name            VARCHAR(128) NOT NULL PRIMARY KEY,
  url             VARCHAR(512) NOT NULL,
  token           TEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS settings (
  name            VARCHAR(128) NOT NULL PRIMARY KEY,
  value           TEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS heads (
  height          BIGINT NOT NULL PRIMARY KEY,
  ts_key          BLOB NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS leases (
  name            VARCHAR(128) NOT NULL PRIMARY KEY,
  holder          VARCHAR(128) NOT NULL,
  fence           BIGINT NOT NULL,
  expires         BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
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
