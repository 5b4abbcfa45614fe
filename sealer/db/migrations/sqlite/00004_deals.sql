-- +goose Up
CREATE TABLE deals (
    id   BIGINT NOT NULL PRIMARY KEY,
    body LONGBLOB NOT NULL
);

-- +goose Down
DROP TABLE deals;
