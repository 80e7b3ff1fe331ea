-- Lives of data planes: when each was last heard of, by the database's clock, and whether it is known to be over. Locked
-- behind slices.
CREATE TABLE life (
    data_plane  TEXT COLLATE "C" NOT NULL,
    incarnation BIGINT NOT NULL,
    state       TEXT COLLATE "C" NOT NULL, -- active, final, forgetting, given-up
    heard_us    BIGINT NOT NULL,
    ordered_us  BIGINT NOT NULL, -- since when it is to be forgotten, or was given up; 0: never
    reason      TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (data_plane, incarnation)
);

-- Money that is wanted back from data planes of other control planes: each reads what is new. Kept for a minute.
CREATE TABLE recall_head (
    id  BIGINT PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL
);
INSERT INTO recall_head (id, seq) VALUES (1, 0);
CREATE TABLE recall (
    seq     BIGINT PRIMARY KEY,
    org_uid BIGINT NOT NULL,
    key_uid BIGINT NOT NULL,
    at_us   BIGINT NOT NULL
);

-- What a slice held when it was given up: the most that the company bears for it. Append only.
CREATE TABLE given_up (
    data_plane  TEXT COLLATE "C" NOT NULL,
    incarnation BIGINT NOT NULL,
    org_uid     BIGINT NOT NULL,
    key_uid     BIGINT NOT NULL,
    at_us       BIGINT NOT NULL,
    amount      BIGINT NOT NULL CHECK (amount BETWEEN 1 AND 4000000000000000000),
    cause       TEXT COLLATE "C" NOT NULL, -- word or silence
    PRIMARY KEY (data_plane, incarnation, org_uid, key_uid, at_us)
);
ALTER TABLE slice ADD COLUMN given_up_us BIGINT NOT NULL DEFAULT 0; -- 0: never

-- Who takes in what a data plane ships: its epoch fences out everyone before it. Locked before marks.
CREATE TABLE usage_owner (
    data_plane TEXT COLLATE "C" PRIMARY KEY,
    epoch      BIGINT NOT NULL,
    owner      TEXT COLLATE "C" NOT NULL,
    is_open    BIGINT NOT NULL CHECK (is_open IN (0, 1)), -- its connection has not ended
    renewed_us BIGINT NOT NULL,
    settled_us BIGINT NOT NULL -- when all was counted that had come of lives which are to be forgotten
);
