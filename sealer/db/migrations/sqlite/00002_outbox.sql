-- +goose Up
CREATE TABLE outbox (
    id      VARCHAR(64) NOT NULL PRIMARY KEY,
    kind    VARCHAR(32) NOT NULL,
    state   VARCHAR(16) NOT NULL,
    created BIGINT NOT NULL,
    body    LONGBLOB NOT NULL
);
CREATE INDEX outbox_state ON outbox (state, created);

-- +goose Down
DROP TABLE outbox;
