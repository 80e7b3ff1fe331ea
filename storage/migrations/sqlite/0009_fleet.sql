-- Data planes, as the control planes that they follow tell of them. Written where several control planes share a database.
CREATE TABLE data_plane (
    name     TEXT   PRIMARY KEY,
    replica  TEXT   NOT NULL, -- one life of the control plane that it follows
    told     TEXT   NOT NULL, -- hex of admin.v1.DataPlane
    heard_us BIGINT NOT NULL  -- when that was last known to be so, by the database's clock; 0: it left
);
