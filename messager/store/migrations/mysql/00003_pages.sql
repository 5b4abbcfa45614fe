-- +goose Up
-- Pages of one sender's messages, whatever their state.
CREATE INDEX messages_from_created ON messages (from_addr, created_at);
-- +goose Down
DROP INDEX messages_from_created ON messages;
