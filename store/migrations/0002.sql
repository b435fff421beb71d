-- Schema 2: evidence instead of the bytes of what was not approved. Bytes that schema 1 kept stay for their window (media.keep_until).
-- state: due (an effect makes it), here (the file is written), none (nothing can be made; reason says why), gone (its time is over).
CREATE TABLE evidence (
    submission BLOB NOT NULL, n INTEGER NOT NULL, tenant TEXT NOT NULL, state TEXT NOT NULL, until INTEGER NOT NULL,
    file TEXT, made_at INTEGER, bytes INTEGER, width INTEGER, height INTEGER, frames INTEGER, reason TEXT,
    PRIMARY KEY (submission, n)
) WITHOUT ROWID;
CREATE INDEX evidence_until ON evidence (until) WHERE state <> 'gone';
CREATE INDEX evidence_file ON evidence (file) WHERE file IS NOT NULL;
-- Masking looks for what is old and has an address's hash; the rest of the reports is none of its business.
CREATE INDEX reports_source ON reports (at) WHERE source IS NOT NULL;
