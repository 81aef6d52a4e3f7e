-- Format 2 adds what operators set while the gateway runs.
CREATE TABLE setting (
    name TEXT NOT NULL,
    model TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name, model)
) STRICT;

PRAGMA user_version = 2;
