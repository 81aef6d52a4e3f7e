-- Times are microseconds since 1970 in UTC; record ids are the 16 bytes of a UUIDv7.

-- Grows with every change of what workers obey: versions, aliases, keys, settings.
CREATE TABLE generation (number INTEGER NOT NULL) STRICT;
INSERT INTO generation VALUES (0);

CREATE TABLE version (
    model TEXT NOT NULL,
    number INTEGER NOT NULL,
    artifact TEXT NOT NULL,
    manifest TEXT NOT NULL,
    state TEXT NOT NULL,
    author TEXT NOT NULL,
    created INTEGER NOT NULL,
    PRIMARY KEY (model, number)
) STRICT;

-- The history is all there is: what an alias names now is its last change.
CREATE TABLE alias_change (
    sequence INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    alias TEXT NOT NULL,
    version INTEGER,
    cause TEXT NOT NULL,
    at INTEGER NOT NULL,
    principal TEXT NOT NULL,
    reason TEXT NOT NULL,
    record_id TEXT NOT NULL,
    FOREIGN KEY (model, version) REFERENCES version (model, number)
) STRICT;
CREATE INDEX alias_change_of ON alias_change (model, alias, sequence);

CREATE TABLE key (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    roles TEXT NOT NULL,
    author TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    revoked INTEGER
) STRICT;

-- The log: `idx` counts without gaps, `leaf` holds the exact bytes; the other columns repeat what
-- queries filter by.
CREATE TABLE record (
    idx INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    time_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    model TEXT,
    version INTEGER,
    lane TEXT,
    principal TEXT,
    request_id TEXT,
    leaf BLOB NOT NULL
) STRICT;
CREATE INDEX record_model ON record (model, version, id);
-- Of what nearly every record is, the index on `id` finds the newest as quickly.
CREATE INDEX record_kind ON record (kind, id) WHERE kind <> 'inference';
CREATE INDEX record_outcome ON record (outcome, id) WHERE outcome <> 'answered';
CREATE INDEX record_principal ON record (principal, id);
CREATE INDEX record_request ON record (request_id, id) WHERE request_id IS NOT NULL;

-- Input and output are null where they were too large to keep.
CREATE TABLE payload (
    idx INTEGER PRIMARY KEY REFERENCES record (idx),
    salt BLOB NOT NULL,
    input BLOB,
    output BLOB
) STRICT;

-- How far each journal segment has been integrated.
CREATE TABLE position (segment TEXT PRIMARY KEY, reached INTEGER NOT NULL) STRICT;

CREATE TABLE worker (
    worker TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    failures TEXT NOT NULL
) STRICT;

-- What operators set while the gateway runs; a model '' stands for all models.
CREATE TABLE setting (
    name TEXT NOT NULL,
    model TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name, model)
) STRICT;

PRAGMA user_version = 2;
