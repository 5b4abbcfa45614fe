-- +goose Up
-- Pages of one sender's messages, whatever their state.
SET @ddl = IF(EXISTS (SELECT 1 FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'messages' AND INDEX_NAME = 'messages_from_created'),
  'DO 0', 'CREATE INDEX messages_from_created ON messages (from_addr, created_at)');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
-- +goose Down
DROP INDEX messages_from_created ON messages;
