-- Format 4 lets a key hide from its holder what would have been accepted, and adds whom to tell of
-- what happens, and what is on its way to them.
ALTER TABLE key ADD COLUMN hides_expected INTEGER NOT NULL DEFAULT 0;

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
