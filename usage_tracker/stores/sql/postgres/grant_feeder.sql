-- Who feeds sinks: it reads events, and keeps the books on what was sent. It stores nothing: a program that ships and feeds is
-- a writer, too.
GRANT INSERT, UPDATE, DELETE ON usage_tracker.sink TO :"role";
GRANT INSERT, DELETE ON usage_tracker.sink_refused TO :"role";
GRANT UPDATE, DELETE ON usage_tracker.usage_batch TO :"role";
GRANT SELECT, USAGE ON SEQUENCE usage_tracker.batch_arrival TO :"role";
