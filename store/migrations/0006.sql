-- Schema 6: what a moderator's word did, so that it can be taken back.
-- verified: whether a verified match or a person said so. again: the earlier decision that stands again by this one.
ALTER TABLE decisions ADD COLUMN verified INTEGER;
ALTER TABLE decisions ADD COLUMN again INTEGER;
-- told_at: of an entry that the hub ordered, when it did, by its clock.
ALTER TABLE bank_entries ADD COLUMN told_at INTEGER;
-- Which entries are there for which word: the decision's number.
CREATE TABLE remembered (
    entry BLOB NOT NULL, submission BLOB NOT NULL, decision INTEGER NOT NULL,
    PRIMARY KEY (entry, submission, decision)
) WITHOUT ROWID;
CREATE INDEX remembered_submission ON remembered (submission);
-- closed_by: the decision with which a report or an appeal was closed.
ALTER TABLE reports ADD COLUMN closed_by INTEGER;
ALTER TABLE appeals ADD COLUMN closed_by INTEGER;
