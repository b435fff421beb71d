-- Reading is one right, telling boxes what to do another: tokens from before read.
ALTER TABLE api_tokens ADD COLUMN orders boolean NOT NULL DEFAULT false;
