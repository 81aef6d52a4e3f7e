-- Format 2 adds what operators set while the gateway runs, and payloads that were too large to keep;
-- two indexes leave out what nearly every record is.
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

DROP INDEX record_kind;
CREATE INDEX record_kind ON record (kind, id) WHERE kind <> 'inference';
DROP INDEX record_outcome;
CREATE INDEX record_outcome ON record (outcome, id) WHERE outcome <> 'answered';

PRAGMA user_version = 2;
