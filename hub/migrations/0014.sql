-- Of which decision an entry of a hash list came: looked up for each of a page. An entry that somebody wrote by hand came of none, which took a look at all.
CREATE INDEX review_decisions_hashes ON review_decisions USING gin (listed jsonb_path_ops) WHERE listed <> '[]';
