-- Usage events that come through a Kafka topic: who reads which partition, and how far it is billed. What Kafka itself knows
-- of either does not count.
CREATE TABLE usage_partition (
    cell         TEXT NOT NULL,
    partition_no BIGINT NOT NULL,
    owner        TEXT NOT NULL, -- one life of a consumer; empty: nobody
    epoch        BIGINT NOT NULL CHECK (epoch >= 0), -- how often it was claimed: only the last who did may write
    next_offset  BIGINT NOT NULL CHECK (next_offset >= 0),
    renewed_us   BIGINT NOT NULL, -- when its owner was heard of last, by the database's clock
    PRIMARY KEY (cell, partition_no)
);

-- Who shares the partitions of a cell.
CREATE TABLE usage_consumer (
    name    TEXT PRIMARY KEY,
    cell    TEXT NOT NULL,
    seen_us BIGINT NOT NULL
);

-- What was in the topic and is no event that this version can read, kept until one can.
CREATE TABLE usage_foreign (
    cell         TEXT NOT NULL,
    partition_no BIGINT NOT NULL,
    offset_no    BIGINT NOT NULL,
    raw          TEXT NOT NULL, -- hex; empty if it was too long to be an event
    reason       TEXT NOT NULL,
    at_us        BIGINT NOT NULL,
    PRIMARY KEY (cell, partition_no, offset_no)
);
