-- Format 5 adds rollouts, promotions that wait for somebody's approval, and ground truth.

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

-- Who holds a key, as far as somebody said.
ALTER TABLE key ADD COLUMN owner TEXT;

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
