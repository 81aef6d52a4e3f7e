-- Format 3 seals payloads for persons, and remembers what became of those that are gone.
CREATE TABLE subject_key (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    tag BLOB NOT NULL,
    lookup BLOB NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;
CREATE INDEX subject_key_tag ON subject_key (tag);
CREATE TABLE payload_key (fingerprint BLOB NOT NULL) STRICT;

ALTER TABLE payload ADD COLUMN subject INTEGER REFERENCES subject_key (number);
ALTER TABLE payload ADD COLUMN sealed BLOB;
ALTER TABLE payload ADD COLUMN gone TEXT;
CREATE INDEX payload_subject ON payload (subject) WHERE subject IS NOT NULL;

PRAGMA user_version = 3;
