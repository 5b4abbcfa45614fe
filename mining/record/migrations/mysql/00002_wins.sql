-- +goose Up
CREATE TABLE IF NOT EXISTS wins (
  miner     VARBINARY(64) NOT NULL,
  epoch     BIGINT        NOT NULL,
  win_count BIGINT        NOT NULL,
  reason    TEXT          NOT NULL,
  story     TEXT          NOT NULL,
  PRIMARY KEY (miner, epoch)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE IF NOT EXISTS tallies (
  miner    VARBINARY(64) NOT NULL,
  bucket   BIGINT        NOT NULL,
  rounds   BIGINT        NOT NULL,
  chance   DOUBLE        NOT NULL,
  expected DOUBLE        NOT NULL,
  won      BIGINT        NOT NULL,
  wins     BIGINT        NOT NULL,
  PRIMARY KEY (miner, bucket)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
-- How far each miner's rounds are counted.
CREATE TABLE IF NOT EXISTS counted (
  miner   VARBINARY(64) NOT NULL PRIMARY KEY,
  epoch   BIGINT        NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- +goose Down
DROP TABLE IF EXISTS counted;
DROP TABLE IF EXISTS tallies;
DROP TABLE IF EXISTS wins;
