-- +goose Up
CREATE TABLE wins (
  miner     BLOB    NOT NULL,
  epoch     INTEGER NOT NULL,
  win_count INTEGER NOT NULL,
  reason    TEXT    NOT NULL,
  story     TEXT    NOT NULL,
  PRIMARY KEY (miner, epoch)
);
CREATE TABLE tallies (
  miner    BLOB    NOT NULL,
  bucket   INTEGER NOT NULL,
  rounds   INTEGER NOT NULL,
  chance   REAL    NOT NULL,
  expected REAL    NOT NULL,
  won      INTEGER NOT NULL,
  wins     INTEGER NOT NULL,
  PRIMARY KEY (miner, bucket)
);
-- How far each miner's rounds are counted.
CREATE TABLE counted (
  miner BLOB    NOT NULL PRIMARY KEY,
  epoch INTEGER NOT NULL
);

-- +goose Down
DROP TABLE counted;
DROP TABLE tallies;
DROP TABLE wins;
