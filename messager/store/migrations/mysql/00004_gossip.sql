-- +goose Up
-- Nodes that only pass messages on to their peers.
SET @ddl = IF(EXISTS (SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'nodes' AND COLUMN_NAME = 'gossip'),
  'DO 0', 'ALTER TABLE nodes ADD COLUMN gossip BIGINT NOT NULL DEFAULT 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
-- +goose Down
ALTER TABLE nodes DROP COLUMN gossip;
