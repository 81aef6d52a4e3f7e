-- Format 4 lets a key hide from its holder what would have been accepted, adds windows of what workers
-- counted, detectors and their findings, and whom to tell of what happens, and what is on its way to
-- them.
ALTER TABLE key ADD COLUMN hides_expected INTEGER NOT NULL DEFAULT 0;

-- What workers counted of the values they met, added up by minute, hour and day; `counts` is int64,
-- little-endian, in the layout that the version's reference gives.
CREATE TABLE window (
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    lane TEXT NOT NULL,
    span TEXT NOT NULL,
    start INTEGER NOT NULL,
    counts BLOB NOT NULL,
    UNIQUE (model, version, lane, span, start)
) STRICT;
CREATE INDEX window_age ON window (span, start);

-- How far the counts of each worker are in the windows.
CREATE TABLE taken (
    worker TEXT NOT NULL,
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    lane TEXT NOT NULL,
    counts BLOB NOT NULL,
    UNIQUE (worker, model, version, lane)
) STRICT;

-- What was counted of champions, second by second, since a detector looked at it.
CREATE TABLE block (
    sequence INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    counts BLOB NOT NULL
) STRICT;
CREATE INDEX block_of ON block (model, version, sequence);

-- What the detector of a champion knows, and when it looked last.
CREATE TABLE detector (
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    state BLOB NOT NULL,
    looked INTEGER NOT NULL,
    PRIMARY KEY (model, version)
) STRICT;

-- What detectors found; the id is that of the record that tells it, `content` all of it as JSON.
CREATE TABLE finding (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    at INTEGER NOT NULL,
    state TEXT NOT NULL,
    content TEXT NOT NULL
) STRICT;
CREATE INDEX finding_of ON finding (model, at);
CREATE INDEX finding_open ON finding (model) WHERE state = 'open';

-- What only the sender may know is in a file that `secret` names; models and types are
-- JSON arrays, and empty ones ask for all.
CREATE TABLE destination (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    form TEXT NOT NULL,
    secret TEXT NOT NULL,
    models TEXT NOT NULL,
    types TEXT NOT NULL,
    author TEXT NOT NULL,
    created INTEGER NOT NULL,
    paused INTEGER
) STRICT;

-- What is to be told, as JSON; there for as long as a delivery of it is.
CREATE TABLE event (id TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT;

-- Each event on its way to each destination, in the order of the events. No number is used again.
CREATE TABLE delivery (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL REFERENCES destination (name),
    event TEXT NOT NULL REFERENCES event (id),
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    attempted INTEGER,
    status INTEGER,
    error TEXT
) STRICT;
CREATE INDEX delivery_state ON delivery (state, destination, number);
CREATE INDEX delivery_event ON delivery (event);

PRAGMA user_version = 4;
