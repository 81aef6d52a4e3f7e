-- Format 4 lets a key hide from its holder what would have been accepted.
ALTER TABLE key ADD COLUMN hides_expected INTEGER NOT NULL DEFAULT 0;

PRAGMA user_version = 4;
