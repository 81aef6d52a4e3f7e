-- Format 3 finds records by their stream, counts them by the hour, and adds the tree over the leaves;
-- from the leaves that there are, the program makes all three.
CREATE TEMP TABLE kept AS SELECT idx, leaf FROM record ORDER BY idx;
DROP TABLE record;

-- Records that are alike in all of this are a stream.
CREATE TABLE stream (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    model TEXT,
    version INTEGER,
    lane TEXT
) STRICT;
CREATE INDEX stream_of ON stream (kind, outcome, model, version, lane);

-- The log: `idx` counts without gaps, `leaf` holds the exact bytes; the other columns repeat what
-- queries filter by. In each index the records of a stream stand together, the newest at the end.
CREATE TABLE record (
    idx INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    stream INTEGER NOT NULL,
    principal TEXT,
    request_id TEXT,
    leaf BLOB NOT NULL
) STRICT;
CREATE INDEX record_stream ON record (stream, id);
CREATE INDEX record_principal ON record (principal, stream, id);
CREATE INDEX record_request ON record (request_id, stream, id, principal)
    WHERE request_id IS NOT NULL;

-- How many records each hour (since 1970) has, and how many of them met an error code or broke a
-- rule. Empty texts and the version 0 stand for none.
CREATE TABLE tally (
    hour INTEGER NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    lane TEXT NOT NULL,
    aspect TEXT NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, kind, outcome, model, version, lane, aspect, name)
) STRICT, WITHOUT ROWID;

-- The keys that payloads of persons are sealed with, and which key wraps them.
CREATE TABLE subject_key (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    tag BLOB NOT NULL,
    lookup BLOB NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;
CREATE INDEX subject_key_tag ON subject_key (tag);
CREATE UNIQUE INDEX subject_key_id ON subject_key (id);
CREATE TABLE payload_key (fingerprint BLOB NOT NULL) STRICT;

ALTER TABLE payload ADD COLUMN subject BLOB;
ALTER TABLE payload ADD COLUMN sealed BLOB;
CREATE INDEX payload_subject ON payload (subject) WHERE subject IS NOT NULL;

-- The tree over the leaves: its size, and the partial tiles at its right edge, lowest level first.
CREATE TABLE tree (size INTEGER NOT NULL, frontier BLOB NOT NULL) STRICT;
INSERT INTO tree VALUES (0, x'');

-- Its full tiles: 256 hashes each.
CREATE TABLE tile (
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, number)
) STRICT;

-- What was signed of it.
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY,
    root BLOB NOT NULL,
    note TEXT NOT NULL,
    signed INTEGER NOT NULL
) STRICT;

-- Its names and keys; each holds from leaf `since` on.
CREATE TABLE origin (
    sequence INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    vkey TEXT NOT NULL,
    since INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;

PRAGMA user_version = 3;
