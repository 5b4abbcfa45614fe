-- +goose Up
CREATE TABLE IF NOT EXISTS outbox (
    id      VARCHAR(64) NOT NULL PRIMARY KEY,
    kind    VARCHAR(32) NOT NULL,
    state   VARCHAR(16) NOT NULL,
    created BIGINT NOT NULL,
    body    LONGBLOB NOT NULL,
    INDEX outbox_state (state, created)
);

-- +goose Down
DROP TABLE IF EXISTS outbox;
