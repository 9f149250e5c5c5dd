-- How many places after `done` were refused, each by itself, and none was taken after them yet. A feeder that is started anew, as by
-- cron, goes on from there.
ALTER TABLE usage_tracker.sink ADD COLUMN suspects bigint NOT NULL DEFAULT 0;
