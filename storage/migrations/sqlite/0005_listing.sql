-- Lists of configured objects by time: each page is a range of one of these.
CREATE INDEX config_object_created ON config_object (kind, created_us, name);
CREATE INDEX config_object_updated ON config_object (kind, updated_us, name);

-- One secret is one key: those that come from another system could be brought twice.
CREATE UNIQUE INDEX config_object_digest ON config_object (secret) WHERE kind = 'Key';
