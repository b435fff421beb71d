-- In which language a submission is, where its platform said so; of an item the first part of the tag: people are good at languages.
ALTER TABLE submissions ADD COLUMN language text;
ALTER TABLE reviews ADD COLUMN language text;
