-- What each key was charged on each UTC day (days since 1970-01-01, by when the request ended). Sums of usage_record.
CREATE TABLE key_usage (
    org_uid     BIGINT NOT NULL,
    key_uid     BIGINT NOT NULL,
    day         BIGINT NOT NULL,
    charge_nano BIGINT NOT NULL CHECK (charge_nano BETWEEN 0 AND 4000000000000000000),
    PRIMARY KEY (org_uid, key_uid, day)
);
INSERT INTO key_usage (org_uid, key_uid, day, charge_nano)
SELECT org_uid, key_uid, ended_us / 86400000000, CAST(SUM(charge_nano) AS BIGINT)
FROM usage_record GROUP BY org_uid, key_uid, ended_us / 86400000000;
