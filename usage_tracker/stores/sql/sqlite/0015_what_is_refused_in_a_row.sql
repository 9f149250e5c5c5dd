-- How many places after `done` were refused, each by itself, and none was taken after them yet. A feeder that is started anew, as by
-- cron, goes on from there.
ALTER TABLE sink ADD COLUMN suspects INTEGER NOT NULL DEFAULT 0;
