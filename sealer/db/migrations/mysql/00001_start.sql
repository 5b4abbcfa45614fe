-- +goose Up
CREATE TABLE IF NOT EXISTS meta (
    name  VARCHAR(64) NOT NULL PRIMARY KEY,
    value LONGBLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS sectors (
    number  BIGINT NOT NULL PRIMARY KEY,
    state   VARCHAR(64) NOT NULL,
    record  LONGBLOB NOT NULL,
    updated BIGINT NOT NULL,
    INDEX sectors_state (state)
);
CREATE TABLE IF NOT EXISTS sector_log (
    number BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    at     BIGINT NOT NULL,
    kind   VARCHAR(128) NOT NULL,
    text   LONGBLOB NOT NULL,
    PRIMARY KEY (number, seq)
);
CREATE TABLE IF NOT EXISTS artifacts (
    number BIGINT NOT NULL,
    kind   VARCHAR(32) NOT NULL,
    data   LONGBLOB NOT NULL,
    PRIMARY KEY (number, kind)
);
CREATE TABLE IF NOT EXISTS tasks (
    id       VARCHAR(128) NOT NULL PRIMARY KEY,
    state    VARCHAR(16) NOT NULL,
    number   BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    created  BIGINT NOT NULL,
    task     LONGBLOB NOT NULL,
    INDEX tasks_state (state, priority, created)
);
CREATE TABLE IF NOT EXISTS window_proofs (
    open_epoch BIGINT NOT NULL,
    part_group BIGINT NOT NULL,
    record     LONGBLOB NOT NULL,
    PRIMARY KEY (open_epoch, part_group)
);

-- +goose Down
DROP TABLE IF EXISTS window_proofs;
DROP TABLE IF EXISTS tasks;
DROP TABLE IF EXISTS artifacts;
DROP TABLE IF EXISTS sector_log;
DROP TABLE IF EXISTS sectors;
DROP TABLE IF EXISTS meta;
