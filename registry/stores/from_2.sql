-- Format 3 adds the tree over the leaves; the program hashes those that there are.
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
