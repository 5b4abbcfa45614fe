-- +goose Up
-- What a message cost; which rules limit fees; nonces used by others and money spent on replacements, by sender.
SET @ddl = IF(EXISTS (SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'messages' AND COLUMN_NAME = 'spent'),
  'DO 0', 'ALTER TABLE messages ADD COLUMN spent VARCHAR(128) NOT NULL DEFAULT ''0''');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
SET @ddl = IF(EXISTS (SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'addresses' AND COLUMN_NAME = 'foreign_nonce'),
  'DO 0', 'ALTER TABLE addresses ADD COLUMN foreign_nonce BIGINT NOT NULL DEFAULT 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
SET @ddl = IF(EXISTS (SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'addresses' AND COLUMN_NAME = 'foreign_at'),
  'DO 0', 'ALTER TABLE addresses ADD COLUMN foreign_at BIGINT NOT NULL DEFAULT 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
SET @ddl = IF(EXISTS (SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'addresses' AND COLUMN_NAME = 'replaced_day'),
  'DO 0', 'ALTER TABLE addresses ADD COLUMN replaced_day BIGINT NOT NULL DEFAULT 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
SET @ddl = IF(EXISTS (SELECT 1 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'addresses' AND COLUMN_NAME = 'replaced_sum'),
  'DO 0', 'ALTER TABLE addresses ADD COLUMN replaced_sum VARCHAR(128) NOT NULL DEFAULT ''0''');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
CREATE TABLE IF NOT EXISTS fee_rules (
  sender          VARBINARY(64) NOT NULL,
  actor           VARBINARY(64) NOT NULL,
  method          BIGINT NOT NULL,
  over_estimation DOUBLE NOT NULL,
  max_fee         VARCHAR(128) NOT NULL,
  max_fee_cap     VARCHAR(128) NOT NULL,
  PRIMARY KEY (sender, actor, method)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
-- +goose Down
DROP TABLE fee_rules;
ALTER TABLE addresses DROP COLUMN replaced_sum;
ALTER TABLE addresses DROP COLUMN replaced_day;
ALTER TABLE addresses DROP COLUMN foreign_at;
ALTER TABLE addresses DROP COLUMN foreign_nonce;
ALTER TABLE messages DROP COLUMN spent;
