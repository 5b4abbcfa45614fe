-- +goose Up
CREATE TABLE IF NOT EXISTS deals (
    id   BIGINT NOT NULL PRIMARY KEY,
    body LONGBLOB NOT NULL
);

-- +goose Down
DROP TABLE IF EXISTS deals;
