-- Format 3 finds records by their stream and counts them by the hour; all but leaves is made anew.
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

PRAGMA user_version = 3;
