-- +goose Up
-- Nodes that only pass messages on to their peers.
ALTER TABLE nodes ADD COLUMN gossip INTEGER NOT NULL DEFAULT 0;
-- +goose Down
ALTER TABLE nodes DROP COLUMN gossip;
