-- Gaps that no event will ever close: since when they are known, and when and why an operator gave them up (0: not yet).
ALTER TABLE usage_gap ADD COLUMN since_us BIGINT NOT NULL DEFAULT 0 CHECK (since_us >= 0);
ALTER TABLE usage_gap ADD COLUMN written_off_us BIGINT NOT NULL DEFAULT 0 CHECK (written_off_us >= 0);
ALTER TABLE usage_gap ADD COLUMN reason TEXT NOT NULL DEFAULT '';
