-- Who may change what, and what was changed: operators, the audit chain, answers that are kept for repeated calls.

-- The token of the file is no row: it is the owner that nobody can remove.
CREATE TABLE operator (
    name       TEXT   PRIMARY KEY,
    uid        BIGINT NOT NULL,          -- never reused
    rev        BIGINT NOT NULL,          -- counts its changes
    digest     TEXT   NOT NULL,          -- hex: keyed hash of the token
    role       TEXT   NOT NULL,
    entity     TEXT   NOT NULL,          -- the scope; both empty: everything
    org        TEXT   NOT NULL,
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
    hash TEXT   NOT NULL
);
INSERT INTO audit_head (id, seq, hash)
    VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- Who did what to what. Append only; each hash is over its row and the hash before it.
CREATE TABLE audit_record (
    seq          BIGINT PRIMARY KEY,
    at_us        BIGINT NOT NULL,
    operator     TEXT   NOT NULL,
    operator_uid BIGINT NOT NULL,
    method       TEXT   NOT NULL,
    resource     TEXT   NOT NULL,
    etag_before  TEXT   NOT NULL,
    etag_after   TEXT   NOT NULL,
    request_id   TEXT   NOT NULL,
    client       TEXT   NOT NULL,        -- keyed hash of the address
    outcome      TEXT   NOT NULL,
    detail       TEXT   NOT NULL,
    hash         TEXT   NOT NULL
);

-- What a call with a request_id was answered, until its window has passed.
CREATE TABLE admin_answer (
    operator_uid BIGINT NOT NULL,
    request_id   TEXT   NOT NULL,
    request      TEXT   NOT NULL,        -- hex: keyed hash of method and request
    answer       TEXT   NOT NULL,        -- hex, sealed: it may hold a secret that is shown once
    at_us        BIGINT NOT NULL,
    PRIMARY KEY (operator_uid, request_id)
);
CREATE INDEX admin_answer_at ON admin_answer (at_us);
