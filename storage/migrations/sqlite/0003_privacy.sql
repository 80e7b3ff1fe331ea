-- Retention of usage records: what is left of those that were deleted, so that the ledger can still be computed again.

-- Sums over deleted records, as fine as postings, slices, budgets and marks need them.
CREATE TABLE usage_rollup (
    transaction_id BIGINT NOT NULL,
    data_plane     TEXT   NOT NULL,
    incarnation    BIGINT NOT NULL,
    partition_no   BIGINT NOT NULL,
    org_uid        BIGINT NOT NULL,
    key_uid        BIGINT NOT NULL,
    model          TEXT   NOT NULL,
    currency       TEXT   NOT NULL,
    budgeted       BIGINT NOT NULL CHECK (budgeted IN (0, 1)),
    day_us         BIGINT NOT NULL, -- the UTC day in which they ended
    records        BIGINT NOT NULL CHECK (records > 0),
    charge_nano      BIGINT NOT NULL CHECK (charge_nano BETWEEN 0 AND 4000000000000000000),
    uncollected_nano BIGINT NOT NULL CHECK (uncollected_nano BETWEEN 0 AND 4000000000000000000),
    shortfall_nano        BIGINT NOT NULL CHECK (shortfall_nano BETWEEN 0 AND charge_nano),
    budget_shortfall_nano BIGINT NOT NULL CHECK (budget_shortfall_nano BETWEEN 0 AND charge_nano),
    input_tokens   BIGINT NOT NULL CHECK (input_tokens >= 0),
    output_tokens  BIGINT NOT NULL CHECK (output_tokens >= 0),
    PRIMARY KEY (transaction_id, data_plane, incarnation, partition_no, org_uid, key_uid, model,
                 currency, budgeted, day_us)
);
CREATE INDEX usage_rollup_day ON usage_rollup (day_us, org_uid);

-- Which requests were rolled up: a request that is told again after its record was deleted must not count twice.
CREATE TABLE usage_rolled_up (
    request_digest TEXT   PRIMARY KEY, -- hex of 16 bytes of BLAKE3 of the request id
    rolled_up_us   BIGINT NOT NULL
);
