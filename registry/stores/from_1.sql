-- Format 2 adds what operators set while the gateway runs, and payloads that were too large to keep.
CREATE TABLE setting (
    name TEXT NOT NULL,
    model TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name, model)
) STRICT;

ALTER TABLE payload RENAME TO payload_1;
CREATE TABLE payload (
    idx INTEGER PRIMARY KEY REFERENCES record (idx),
    salt BLOB NOT NULL,
    input BLOB,
    output BLOB
) STRICT;
INSERT INTO payload SELECT * FROM payload_1;
DROP TABLE payload_1;

PRAGMA user_version = 2;
