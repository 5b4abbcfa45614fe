-- +goose Up
CREATE TABLE IF NOT EXISTS auth_tokens (
  id         VARCHAR(80) NOT NULL PRIMARY KEY,
  name       VARCHAR(64) NOT NULL,
  created_at BIGINT NOT NULL,
  removed    TINYINT NOT NULL,
  doc        MEDIUMTEXT NOT NULL,
  -- Pages and searches read this index alone.
  KEY auth_tokens_order (created_at, id, removed, name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE TABLE IF NOT EXISTS auth_users (
  name       VARCHAR(64) NOT NULL PRIMARY KEY,
  rev        BIGINT NOT NULL,
  doc        MEDIUMTEXT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE TABLE IF NOT EXISTS auth_owned (
  kind       VARCHAR(16) NOT NULL,
  addr       VARBINARY(64) NOT NULL,
  name       VARCHAR(64) NOT NULL,
  -- A miner has one owner: its address is here again, and NULL is distinct.
  solo       VARBINARY(64),
  PRIMARY KEY (kind, addr, name),
  UNIQUE KEY auth_owned_solo (solo),
  KEY auth_owned_name (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
CREATE TABLE IF NOT EXISTS auth_audit (
  id         VARCHAR(64) NOT NULL PRIMARY KEY,
  at         BIGINT NOT NULL,
  caller     VARCHAR(64) NOT NULL,
  action     VARCHAR(64) NOT NULL,
  subject    VARCHAR(128) NOT NULL,
  doc        MEDIUMTEXT NOT NULL,
  KEY auth_audit_at (at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC;
-- +goose Down
DROP TABLE auth_audit;
DROP TABLE auth_owned;
DROP TABLE auth_users;
DROP TABLE auth_tokens;
