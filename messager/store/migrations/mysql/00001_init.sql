-- +goose Up
CREATE TABLE messages (
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
  updated_at      BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
-- NULL nonces are distinct: only signed messages are bound by it.
CREATE UNIQUE INDEX messages_from_nonce ON messages (from_addr, nonce);
CREATE INDEX messages_from_state ON messages (from_addr, state, lane, created_at);
CREATE INDEX messages_state ON messages (state, created_at);
CREATE INDEX messages_created ON messages (created_at);
CREATE INDEX messages_unsigned ON messages (unsigned_cid);
CREATE INDEX messages_executed ON messages (executed_height);
CREATE TABLE attempts (
  signed_cid      VARCHAR(128) NOT NULL PRIMARY KEY,
  unsigned_cid    VARCHAR(128) NOT NULL,
  message_id      VARCHAR(128) NOT NULL,
  signed          MEDIUMBLOB NOT NULL,
  created_at      BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX attempts_message ON attempts (message_id);
CREATE INDEX attempts_unsigned ON attempts (unsigned_cid);
CREATE TABLE notes (
  seq             BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  message_id      VARCHAR(128) NOT NULL,
  at              BIGINT NOT NULL,
  kind            VARCHAR(64) NOT NULL,
  text            MEDIUMTEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX notes_message ON notes (message_id, seq);
CREATE TABLE addresses (
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
CREATE TABLE wallets (
  name            VARCHAR(128) NOT NULL PRIMARY KEY,
  url             VARCHAR(512) NOT NULL,
  token           TEXT NOT NULL,
  removing        BIGINT NOT NULL,
  created_at      BIGINT NOT NULL,
  updated_at      BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE wallet_addresses (
  wallet_name     VARCHAR(128) NOT NULL,
  addr            VARBINARY(64) NOT NULL,
  present         BIGINT NOT NULL,
  PRIMARY KEY (wallet_name, addr)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE nodes (
  name            VARCHAR(128) NOT NULL PRIMARY KEY,
  url             VARCHAR(512) NOT NULL,
  token           TEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE settings (
  name            VARCHAR(128) NOT NULL PRIMARY KEY,
  value           TEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE heads (
  height          BIGINT NOT NULL PRIMARY KEY,
  ts_key          BLOB NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE leases (
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
