-- +goose Up
CREATE TABLE meta (
    name  VARCHAR(64) NOT NULL PRIMARY KEY,
    value LONGBLOB NOT NULL
);
CREATE TABLE sectors (
    number  BIGINT NOT NULL PRIMARY KEY,
    state   VARCHAR(64) NOT NULL,
    record  LONGBLOB NOT NULL,
    updated BIGINT NOT NULL
);
CREATE INDEX sectors_state ON sectors (state);
CREATE TABLE sector_log (
    number BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    at     BIGINT NOT NULL,
    kind   VARCHAR(128) NOT NULL,
    text   LONGBLOB NOT NULL,
    PRIMARY KEY (number, seq)
);
CREATE TABLE artifacts (
    number BIGINT NOT NULL,
    kind   VARCHAR(32) NOT NULL,
    data   LONGBLOB NOT NULL,
    PRIMARY KEY (number, kind)
);
CREATE TABLE tasks (
    id       VARCHAR(128) NOT NULL PRIMARY KEY,
    state    VARCHAR(16) NOT NULL,
    number   BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    created  BIGINT NOT NULL,
    task     LONGBLOB NOT NULL
);
CREATE INDEX tasks_state ON tasks (state, priority, created);
CREATE TABLE window_proofs (
    open_epoch BIGINT NOT NULL,
    part_group BIGINT NOT NULL,
    record     LONGBLOB NOT NULL,
    PRIMARY KEY (open_epoch, part_group)
);

-- +goose Down
DROP TABLE window_proofs;
DROP TABLE tasks;
DROP TABLE artifacts;
DROP TABLE sector_log;
DROP TABLE sectors;
DROP TABLE meta;
