-- Format 3 seals payloads for persons.
CREATE TABLE subject_key (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    tag BLOB NOT NULL,
    lookup BLOB NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;
CREATE INDEX subject_key_tag ON subject_key (tag);
CREATE UNIQUE INDEX subject_key_id ON subject_key (id);
CREATE TABLE payload_key (fingerprint BLOB NOT NULL) STRICT;

ALTER TABLE payload ADD COLUMN subject BLOB;
ALTER TABLE payload ADD COLUMN sealed BLOB;
CREATE INDEX payload_subject ON payload (subject) WHERE subject IS NOT NULL;

PRAGMA user_version = 3;
