-- All that Postgres holds, as SQLite's migrations 1 to 8 made it; from 9 on both have the same.
-- BIGINT and TEXT only; times in microseconds UTC; blobs as hex; money in nano-units within ±4e18. Every TEXT is ordered by
-- its bytes, whatever the database's own collation is: pages of lists and ranges of names go by that.

-- The one row whose update serialises every change of the configuration.
CREATE TABLE config_head (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    generation BIGINT NOT NULL,
    rev        BIGINT NOT NULL,
    next_uid   BIGINT NOT NULL
);
INSERT INTO config_head (id, generation, rev, next_uid) VALUES (1, 1, 0, 1);

CREATE TABLE config_object (
    kind       TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    uid        BIGINT NOT NULL,          -- never reused
    rev        BIGINT NOT NULL,          -- of the last change; the etag
    spec       TEXT COLLATE "C" NOT NULL,          -- hex of the kind's admin.v1 …Spec message, without secrets
    secret     TEXT COLLATE "C" NOT NULL,          -- hex: an upstream's sealed credential, a key's digest; else empty
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    previous_secret   TEXT COLLATE "C" NOT NULL DEFAULT '', -- hex: a key's digest before its secret was changed; empty: none
    previous_until_us BIGINT NOT NULL DEFAULT 0,  -- until when it is good beside the new one
    PRIMARY KEY (kind, name)
);
CREATE UNIQUE INDEX config_object_uid ON config_object (uid);
-- Lists of configured objects by time: each page is a range of one of these.
CREATE INDEX config_object_created ON config_object (kind, created_us, name);
CREATE INDEX config_object_updated ON config_object (kind, updated_us, name);
-- One secret is one key: those that come from another system could be brought twice.
CREATE UNIQUE INDEX config_object_digest ON config_object (secret) WHERE kind = 'Key';
CREATE UNIQUE INDEX config_object_previous ON config_object (previous_secret) WHERE previous_secret <> '';

-- What each revision changed, as data planes are told: hex of feed.v1.Change.
CREATE TABLE config_log (
    generation BIGINT NOT NULL,
    rev        BIGINT NOT NULL,
    ord        BIGINT NOT NULL,
    body       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (generation, rev, ord)
);

-- Every sell price that ever was, so that any bill can be recomputed: hex of feed.v1.SellPrice.
CREATE TABLE price (
    revision BIGINT NOT NULL,
    model    TEXT COLLATE "C" NOT NULL,
    upstream TEXT COLLATE "C" NOT NULL,
    entity   TEXT COLLATE "C" NOT NULL,
    audience TEXT COLLATE "C" NOT NULL,
    org      TEXT COLLATE "C" NOT NULL,
    body     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (revision, model, upstream, entity, audience, org)
);

-- Wallets (key_uid 0) and key budgets. `credited` is all that was put in, `posted` what is left of it, `held` what slices
-- hold of that; held <= posted + credit_limit at every commit.
CREATE TABLE account (
    org_uid      BIGINT NOT NULL,
    key_uid      BIGINT NOT NULL,
    currency     TEXT COLLATE "C" NOT NULL,
    credited     BIGINT NOT NULL CHECK (credited BETWEEN -4000000000000000000 AND 4000000000000000000),
    posted       BIGINT NOT NULL CHECK (posted BETWEEN -4000000000000000000 AND 4000000000000000000),
    held         BIGINT NOT NULL CHECK (held BETWEEN 0 AND 4000000000000000000),
    credit_limit BIGINT NOT NULL CHECK (credit_limit BETWEEN 0 AND 4000000000000000000),
    PRIMARY KEY (org_uid, key_uid),
    CHECK (held <= posted + credit_limit)
);

-- Cumulative totals of what one life of a data plane was granted. Each only grows.
CREATE TABLE slice (
    data_plane  TEXT COLLATE "C" NOT NULL,
    incarnation BIGINT NOT NULL,
    org_uid     BIGINT NOT NULL,
    key_uid     BIGINT NOT NULL,
    granted     BIGINT NOT NULL CHECK (granted BETWEEN 0 AND 4000000000000000000),
    released    BIGINT NOT NULL CHECK (released BETWEEN 0 AND 4000000000000000000),
    settled     BIGINT NOT NULL CHECK (settled BETWEEN 0 AND 4000000000000000000),
    -- What of the rest no account holds, after a lost commit was found: not a total. The company's, unless it comes back.
    unbacked    BIGINT NOT NULL CHECK (unbacked BETWEEN 0 AND 4000000000000000000),
    PRIMARY KEY (data_plane, incarnation, org_uid, key_uid),
    CHECK (released + settled + unbacked <= granted)
);
CREATE INDEX slice_account ON slice (org_uid, key_uid);

-- The one row that numbers ledger transactions, without gaps. Locked last.
CREATE TABLE ledger_head (
    id               BIGINT PRIMARY KEY CHECK (id = 1),
    last_transaction BIGINT NOT NULL
);
INSERT INTO ledger_head (id, last_transaction) VALUES (1, 0);

-- One business event: a top-up, or a batch of usage. Append only.
CREATE TABLE ledger_transaction (
    id              BIGINT PRIMARY KEY,
    kind            TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL UNIQUE,
    at_us           BIGINT NOT NULL
);

-- A debit and a credit in one row: what does not balance cannot be written. Append only.
CREATE TABLE posting (
    transaction_id BIGINT NOT NULL,
    ord            BIGINT NOT NULL,
    debit          TEXT COLLATE "C" NOT NULL,
    credit         TEXT COLLATE "C" NOT NULL,
    amount         BIGINT NOT NULL CHECK (amount BETWEEN 1 AND 4000000000000000000),
    currency       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (transaction_id, ord),
    CHECK (debit <> credit)
);

-- What remains of each top-up, under the number of its transaction. Used first in, first out.
CREATE TABLE lot (
    id         BIGINT PRIMARY KEY,
    org_uid    BIGINT NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount BETWEEN 1 AND 4000000000000000000),
    remaining  BIGINT NOT NULL CHECK (remaining BETWEEN 0 AND 4000000000000000000),
    created_us BIGINT NOT NULL,
    CHECK (remaining <= amount)
);
CREATE INDEX lot_open ON lot (org_uid, id) WHERE remaining > 0;

-- The detail of every request, for ever addressable by where it came from.
CREATE TABLE usage_record (
    data_plane       TEXT COLLATE "C" NOT NULL,
    incarnation      BIGINT NOT NULL,
    partition_no     BIGINT NOT NULL,
    seq              BIGINT NOT NULL,
    request_id       TEXT COLLATE "C" NOT NULL,
    upstream_id      TEXT COLLATE "C" NOT NULL,
    org_uid          BIGINT NOT NULL,
    key_uid          BIGINT NOT NULL,
    model            TEXT COLLATE "C" NOT NULL,
    outcome          TEXT COLLATE "C" NOT NULL,
    currency         TEXT COLLATE "C" NOT NULL,
    charge_nano      BIGINT NOT NULL CHECK (charge_nano BETWEEN 0 AND 4000000000000000000),
    uncollected_nano BIGINT NOT NULL CHECK (uncollected_nano BETWEEN 0 AND 4000000000000000000),
    -- What of the charge neither the slice nor the account could pay: the wallet's part and the key budget's.
    shortfall_nano        BIGINT NOT NULL CHECK (shortfall_nano BETWEEN 0 AND charge_nano),
    budget_shortfall_nano BIGINT NOT NULL CHECK (budget_shortfall_nano BETWEEN 0 AND charge_nano),
    budgeted         BIGINT NOT NULL CHECK (budgeted IN (0, 1)),
    input_tokens     BIGINT NOT NULL,
    output_tokens    BIGINT NOT NULL,
    ended_us         BIGINT NOT NULL,
    transaction_id   BIGINT NOT NULL, -- 0 when its whole batch cost nothing
    event            TEXT COLLATE "C" NOT NULL, -- hex of usage.v1.UsageEvent
    PRIMARY KEY (data_plane, incarnation, partition_no, seq)
);
CREATE INDEX usage_record_request ON usage_record (request_id);
CREATE INDEX usage_record_upstream ON usage_record (upstream_id) WHERE upstream_id <> '';
CREATE INDEX usage_record_org ON usage_record (org_uid, ended_us);
CREATE INDEX usage_record_ended ON usage_record (ended_us);
CREATE INDEX usage_record_transaction ON usage_record (transaction_id);

-- How far billing has come: every event below next_seq is a record or poison, but for those in gaps.
CREATE TABLE usage_mark (
    data_plane   TEXT COLLATE "C" NOT NULL,
    incarnation  BIGINT NOT NULL,
    partition_no BIGINT NOT NULL,
    next_seq     BIGINT NOT NULL,
    PRIMARY KEY (data_plane, incarnation, partition_no)
);

-- Sequence numbers that are missing below a mark: from_seq to to_seq, both inside.
CREATE TABLE usage_gap (
    data_plane   TEXT COLLATE "C" NOT NULL,
    incarnation  BIGINT NOT NULL,
    partition_no BIGINT NOT NULL,
    from_seq     BIGINT NOT NULL,
    to_seq       BIGINT NOT NULL,
    -- Since when it is known, and when and why an operator gave it up (0: not yet).
    since_us       BIGINT NOT NULL DEFAULT 0 CHECK (since_us >= 0),
    written_off_us BIGINT NOT NULL DEFAULT 0 CHECK (written_off_us >= 0),
    reason         TEXT COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (data_plane, incarnation, partition_no, from_seq)
);

-- What billing could not apply, kept raw until it can. Its slice keeps the hold.
CREATE TABLE usage_poison (
    data_plane   TEXT COLLATE "C" NOT NULL,
    incarnation  BIGINT NOT NULL,
    partition_no BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    raw          TEXT COLLATE "C" NOT NULL, -- hex of usage.v1.UsageEnvelope
    reason       TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (data_plane, incarnation, partition_no, seq)
);

-- Who may change what, and what was changed: operators, the audit chain, answers that are kept for repeated calls.

-- The token of the file is no row: it is the owner that nobody can remove.
CREATE TABLE operator (
    name       TEXT COLLATE "C" PRIMARY KEY,
    uid        BIGINT NOT NULL,          -- never reused
    rev        BIGINT NOT NULL,          -- counts its changes
    digest     TEXT COLLATE "C" NOT NULL,          -- hex: keyed hash of the token
    role       TEXT COLLATE "C" NOT NULL,
    entity     TEXT COLLATE "C" NOT NULL,          -- the scope; both empty: everything
    org        TEXT COLLATE "C" NOT NULL,
    expires_us BIGINT NOT NULL,          -- 0: never
    disabled   BIGINT NOT NULL CHECK (disabled IN (0, 1)),
    created_us BIGINT NOT NULL,
    CHECK (entity = '' OR org = '')
);
CREATE UNIQUE INDEX operator_uid ON operator (uid);
CREATE UNIQUE INDEX operator_digest ON operator (digest);

-- The one row that numbers audit records, without gaps. Locked last of all.
CREATE TABLE audit_head (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    seq  BIGINT NOT NULL,
    hash TEXT COLLATE "C" NOT NULL
);
INSERT INTO audit_head (id, seq, hash)
    VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- Who did what to what. Append only; each hash is over its row and the hash before it.
CREATE TABLE audit_record (
    seq          BIGINT PRIMARY KEY,
    at_us        BIGINT NOT NULL,
    operator     TEXT COLLATE "C" NOT NULL,
    operator_uid BIGINT NOT NULL,
    method       TEXT COLLATE "C" NOT NULL,
    resource     TEXT COLLATE "C" NOT NULL,
    etag_before  TEXT COLLATE "C" NOT NULL,
    etag_after   TEXT COLLATE "C" NOT NULL,
    request_id   TEXT COLLATE "C" NOT NULL,
    client       TEXT COLLATE "C" NOT NULL,        -- keyed hash of the address
    outcome      TEXT COLLATE "C" NOT NULL,
    detail       TEXT COLLATE "C" NOT NULL,
    hash         TEXT COLLATE "C" NOT NULL
);

-- What a call with a request_id was answered, until its window has passed.
CREATE TABLE admin_answer (
    operator_uid BIGINT NOT NULL,
    request_id   TEXT COLLATE "C" NOT NULL,
    request      TEXT COLLATE "C" NOT NULL,        -- hex: keyed hash of method and request
    answer       TEXT COLLATE "C" NOT NULL,        -- hex, sealed: it may hold a secret that is shown once
    at_us        BIGINT NOT NULL,
    PRIMARY KEY (operator_uid, request_id)
);
CREATE INDEX admin_answer_at ON admin_answer (at_us);

-- Retention of usage records: what is left of those that were deleted, so that the ledger can still be computed again.

-- Sums over deleted records, as fine as postings, slices, budgets and marks need them.
CREATE TABLE usage_rollup (
    transaction_id BIGINT NOT NULL,
    data_plane     TEXT COLLATE "C" NOT NULL,
    incarnation    BIGINT NOT NULL,
    partition_no   BIGINT NOT NULL,
    org_uid        BIGINT NOT NULL,
    key_uid        BIGINT NOT NULL,
    model          TEXT COLLATE "C" NOT NULL,
    currency       TEXT COLLATE "C" NOT NULL,
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
    request_digest TEXT COLLATE "C" PRIMARY KEY, -- hex of 16 bytes of BLAKE3 of the request id
    rolled_up_us   BIGINT NOT NULL
);

-- What each key was charged on each UTC day (days since 1970-01-01, by when the request ended). Sums of usage_record.
CREATE TABLE key_usage (
    org_uid     BIGINT NOT NULL,
    key_uid     BIGINT NOT NULL,
    day         BIGINT NOT NULL,
    charge_nano BIGINT NOT NULL CHECK (charge_nano BETWEEN 0 AND 4000000000000000000),
    PRIMARY KEY (org_uid, key_uid, day)
);
