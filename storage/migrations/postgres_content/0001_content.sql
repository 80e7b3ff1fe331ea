-- Prompts and completions of orgs that want them kept: in a database of its own, each sealed for its request.
CREATE TABLE content (
    request_id TEXT COLLATE "C" PRIMARY KEY,
    org_uid    BIGINT NOT NULL,
    ended_us   BIGINT NOT NULL,
    sealed     TEXT COLLATE "C" NOT NULL -- hex of a sealed content.v1.Content
);
CREATE INDEX content_ended ON content (ended_us);
CREATE INDEX content_org ON content (org_uid);
