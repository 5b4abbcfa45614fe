-- +goose Up
-- What a message cost; which rules limit fees; nonces used by others and money spent on replacements, by sender.
ALTER TABLE messages ADD COLUMN spent TEXT NOT NULL DEFAULT '0';
ALTER TABLE addresses ADD COLUMN foreign_nonce INTEGER NOT NULL DEFAULT 0;
ALTER TABLE addresses ADD COLUMN foreign_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE addresses ADD COLUMN replaced_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE addresses ADD COLUMN replaced_sum TEXT NOT NULL DEFAULT '0';
CREATE TABLE fee_rules (
  sender          BLOB NOT NULL,
  actor           BLOB NOT NULL,
  method          INTEGER NOT NULL,
  over_estimation REAL NOT NULL,
  max_fee         TEXT NOT NULL,
  max_fee_cap     TEXT NOT NULL,
  PRIMARY KEY (sender, actor, method)
);
-- +goose Down
DROP TABLE fee_rules;
ALTER TABLE addresses DROP COLUMN replaced_sum;
ALTER TABLE addresses DROP COLUMN replaced_day;
ALTER TABLE addresses DROP COLUMN foreign_at;
ALTER TABLE addresses DROP COLUMN foreign_nonce;
ALTER TABLE messages DROP COLUMN spent;
