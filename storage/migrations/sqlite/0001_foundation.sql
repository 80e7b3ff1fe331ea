-- The foundation: configuration and its log, accounts and slices, ledger, usage.
-- BIGINT and TEXT only; times in microseconds UTC; blobs as hex; money in nano-units within ±4e18, because beyond that
-- SQLite would quietly turn a sum into a float.

-- The one row whose update serialises every change of the configuration.
CREATE TABLE config_head (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    generation BIGINT NOT NULL,
    rev        BIGINT NOT NULL,
    next_uid   BIGINT NOT NULL
);
INSERT INTO config_head (id, generation, rev, next_uid) VALUES (1, 1, 0, 1);

CREATE TABLE config_object (
    kind       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    uid        BIGINT NOT NULL,          -- never reused
    rev        BIGINT NOT NULL,          -- of the last change; the etag
    spec       TEXT   NOT NULL,          -- hex of the kind's admin.v1 …Spec message, without secrets
    secret     TEXT   NOT NULL,          -- hex: an upstream's sealed credential, a key's digest; else empty
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);
CREATE UNIQUE INDEX config_object_uid ON config_object (uid);

-- What each revision changed, as data planes are told: hex of feed.v1.Change.
CREATE TABLE config_log (
    generation BIGINT NOT NULL,
    rev        BIGINT NOT NULL,
    ord        BIGINT NOT NULL,
    body       TEXT   NOT NULL,
    PRIMARY KEY (generation, rev, ord)
);

-- Every sell price that ever was, so that any bill can be recomputed: hex of feed.v1.SellPrice.
CREATE TABLE price (
    revision BIGINT NOT NULL,
    model    TEXT   NOT NULL,
    upstream TEXT   NOT NULL,
    entity   TEXT   NOT NULL,
    audience TEXT   NOT NULL,
    org      TEXT   NOT NULL,
    body     TEXT   NOT NULL,
    PRIMARY KEY (revision, model, upstream, entity, audience, org)
);

-- Wallets (key_uid 0) and key budgets. `credited` is all that was put in, `posted` what is left of it, `held` what slices
-- hold of that; held <= posted + credit_limit at every commit.
CREATE TABLE account (
    org_uid      BIGINT NOT NULL,
    key_uid      BIGINT NOT NULL,
    currency     TEXT   NOT NULL,
    credited     BIGINT NOT NULL CHECK (credited BETWEEN -4000000000000000000 AND 4000000000000000000),
    posted       BIGINT NOT NULL CHECK (posted BETWEEN -4000000000000000000 AND 4000000000000000000),
    held         BIGINT NOT NULL CHECK (held BETWEEN 0 AND 4000000000000000000),
    credit_limit BIGINT NOT NULL CHECK (credit_limit BETWEEN 0 AND 4000000000000000000),
    PRIMARY KEY (org_uid, key_uid),
    CHECK (held <= posted + credit_limit)
);

-- Cumulative totals of what one life of a data plane was granted. Each only grows.
CREATE TABLE slice (
    data_plane  TEXT   NOT NULL,
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
    kind            TEXT   NOT NULL,
    idempotency_key TEXT   NOT NULL UNIQUE,
    at_us           BIGINT NOT NULL
);

-- A debit and a credit in one row: what does not balance cannot be written. Append only.
CREATE TABLE posting (
    transaction_id BIGINT NOT NULL,
    ord            BIGINT NOT NULL,
    debit          TEXT   NOT NULL,
    credit         TEXT   NOT NULL,
    amount         BIGINT NOT NULL CHECK (amount BETWEEN 1 AND 4000000000000000000),
    currency       TEXT   NOT NULL,
    PRIMARY KEY (transaction_id, ord),
    CHECK (debit <> credit)
);

-- What remains of each top-up, under the number of its transaction. Used first in, first out.
CREATE TABLE lot (
    id         BIGINT PRIMARY KEY,
    org_uid    BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    amount     BIGINT NOT NULL CHECK (amount BETWEEN 1 AND 4000000000000000000),
    remaining  BIGINT NOT NULL CHECK (remaining BETWEEN 0 AND 4000000000000000000),
    created_us BIGINT NOT NULL,
    CHECK (remaining <= amount)
);
CREATE INDEX lot_open ON lot (org_uid, id) WHERE remaining > 0;

-- The detail of every request, for ever addressable by where it came from.
CREATE TABLE usage_record (
    data_plane       TEXT   NOT NULL,
    incarnation      BIGINT NOT NULL,
    partition_no     BIGINT NOT NULL,
    seq              BIGINT NOT NULL,
    request_id       TEXT   NOT NULL,
    upstream_id      TEXT   NOT NULL,
    org_uid          BIGINT NOT NULL,
    key_uid          BIGINT NOT NULL,
    model            TEXT   NOT NULL,
    outcome          TEXT   NOT NULL,
    currency         TEXT   NOT NULL,
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
    event            TEXT   NOT NULL, -- hex of usage.v1.UsageEvent
    PRIMARY KEY (data_plane, incarnation, partition_no, seq)
);
CREATE INDEX usage_record_request ON usage_record (request_id);
CREATE INDEX usage_record_upstream ON usage_record (upstream_id) WHERE upstream_id <> '';
CREATE INDEX usage_record_org ON usage_record (org_uid, ended_us);
CREATE INDEX usage_record_ended ON usage_record (ended_us);
CREATE INDEX usage_record_transaction ON usage_record (transaction_id);

-- How far billing has come: every event below next_seq is a record or poison, but for those in gaps.
CREATE TABLE usage_mark (
    data_plane   TEXT   NOT NULL,
    incarnation  BIGINT NOT NULL,
    partition_no BIGINT NOT NULL,
    next_seq     BIGINT NOT NULL,
    PRIMARY KEY (data_plane, incarnation, partition_no)
);

-- Sequence numbers that are missing below a mark: from_seq to to_seq, both inside.
CREATE TABLE usage_gap (
    data_plane   TEXT   NOT NULL,
    incarnation  BIGINT NOT NULL,
    partition_no BIGINT NOT NULL,
    from_seq     BIGINT NOT NULL,
    to_seq       BIGINT NOT NULL,
    PRIMARY KEY (data_plane, incarnation, partition_no, from_seq)
);

-- What billing could not apply, kept raw until it can. Its slice keeps the hold.
CREATE TABLE usage_poison (
    data_plane   TEXT   NOT NULL,
    incarnation  BIGINT NOT NULL,
    partition_no BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    raw          TEXT   NOT NULL, -- hex of usage.v1.UsageEnvelope
    reason       TEXT   NOT NULL,
    PRIMARY KEY (data_plane, incarnation, partition_no, seq)
);
