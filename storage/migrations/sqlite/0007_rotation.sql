-- A key's digest before its secret was changed, and until when it is good beside the new one.
ALTER TABLE config_object ADD COLUMN previous_secret TEXT NOT NULL DEFAULT ''; -- hex of a digest; empty: none
ALTER TABLE config_object ADD COLUMN previous_until_us BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX config_object_previous ON config_object (previous_secret) WHERE previous_secret <> '';
