-- +goose Up
-- Tasks of before are asked for again by their sectors.
DROP TABLE tasks;
CREATE TABLE tasks (
    id      VARCHAR(128) NOT NULL PRIMARY KEY,
    state   VARCHAR(16) NOT NULL,
    number  BIGINT NOT NULL,
    created BIGINT NOT NULL,
    fence   BIGINT NOT NULL,
    task    LONGBLOB NOT NULL,
    fate    LONGBLOB NOT NULL
);

-- +goose Down
DROP TABLE tasks;
CREATE TABLE tasks (
    id       VARCHAR(128) NOT NULL PRIMARY KEY,
    state    VARCHAR(16) NOT NULL,
    number   BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    created  BIGINT NOT NULL,
    task     LONGBLOB NOT NULL
);
CREATE INDEX tasks_state ON tasks (state, priority, created);
