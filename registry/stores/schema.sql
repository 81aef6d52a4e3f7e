-- Times are microseconds since 1970 in UTC; record ids are the 16 bytes of a UUIDv7.

-- Grows with every change of what workers obey: versions, aliases, keys, settings, rollouts.
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
    revoked INTEGER,
    hides_expected INTEGER NOT NULL DEFAULT 0,
    owner TEXT
) STRICT;

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

-- The keys that payloads of persons are sealed with, wrapped by the key in a file beside the store.
-- Rows are never deleted: an erased one holds zeros, as many bytes as before. `tag` begins `lookup`.
CREATE TABLE subject_key (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    tag BLOB NOT NULL,
    lookup BLOB NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;
CREATE INDEX subject_key_tag ON subject_key (tag);
CREATE UNIQUE INDEX subject_key_id ON subject_key (id);
-- Which key that file must hold; no row before its first use.
CREATE TABLE payload_key (fingerprint BLOB NOT NULL) STRICT;

-- Input and output are null where they are not kept. For a person, `sealed` holds all three with the
-- key whose id is `subject`, and the salt is empty; of an erased one both are zeros. Where nothing is
-- left the payload has expired.
CREATE TABLE payload (
    idx INTEGER PRIMARY KEY REFERENCES record (idx),
    salt BLOB NOT NULL,
    input BLOB,
    output BLOB,
    subject BLOB,
    sealed BLOB
) STRICT;
CREATE INDEX payload_subject ON payload (subject) WHERE subject IS NOT NULL;

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

-- Whom to tell. What only the sender may know is in a file that `secret` names; models and types are
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

-- Ground truth comes in batches; the id is that of the audit record, which commits with `salt` to the
-- labels that were kept. `counts` says as JSON what became of all.
CREATE TABLE feedback (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    model TEXT NOT NULL,
    at INTEGER NOT NULL,
    salt BLOB NOT NULL,
    counts TEXT NOT NULL
) STRICT;
CREATE INDEX feedback_of ON feedback (model, at);

-- Every label that ever came of a row; the last one counts. `record` is the id of its answer, and may
-- be still in the journal. `content` is JSON, and zeros once what it is of is erased.
CREATE TABLE label (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT NOT NULL,
    record BLOB NOT NULL,
    row INTEGER NOT NULL,
    content BLOB NOT NULL,
    batch INTEGER NOT NULL REFERENCES feedback (number)
) STRICT;
CREATE INDEX label_of ON label (model, record, row, sequence);
CREATE INDEX label_record ON label (record);

-- Planned changes of champion: `content` is all of one as JSON, the other columns repeat what is looked
-- for. A version is the challenger of one open rollout at most.
CREATE TABLE rollout (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    challenger INTEGER NOT NULL,
    started INTEGER NOT NULL,
    is_open INTEGER NOT NULL,
    content TEXT NOT NULL,
    FOREIGN KEY (model, challenger) REFERENCES version (model, number)
) STRICT;
CREATE INDEX rollout_of ON rollout (model, started);
CREATE UNIQUE INDEX rollout_open ON rollout (model, challenger) WHERE is_open = 1;

-- What became of each, in order, as JSON with the evidence that it was decided on.
CREATE TABLE rollout_change (
    sequence INTEGER PRIMARY KEY,
    rollout TEXT NOT NULL REFERENCES rollout (id),
    content TEXT NOT NULL
) STRICT;
CREATE INDEX rollout_change_of ON rollout_change (rollout, sequence);
-- Requests to promote a version; the id is that of the record of the request, `content` all of it as
-- JSON.
CREATE TABLE promotion (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL,
    requested INTEGER NOT NULL,
    state TEXT NOT NULL,
    content TEXT NOT NULL
) STRICT;
CREATE INDEX promotion_of ON promotion (model, requested);
CREATE INDEX promotion_pending ON promotion (requested) WHERE state = 'pending';

-- Requests to change something that came under a key of the caller's, and what they were answered
-- with; no status where that is not known, or not kept.
CREATE TABLE answer (
    principal TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    begun INTEGER NOT NULL,
    status INTEGER,
    headers TEXT,
    body BLOB,
    PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answer_age ON answer (begun);

PRAGMA user_version = 5;
