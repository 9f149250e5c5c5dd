-- What a role needs that stores events and nothing else: it can't read them, change the schema or fold deltas. The owner
-- runs `usage-tracker migrate` and, now and then, `usage-tracker ship`, which folds.
--     psql "$OWNER_DSN" -v role=app_writer -f grant_writer.sql
GRANT USAGE ON SCHEMA usage_tracker TO :"role";
GRANT SELECT ON usage_tracker.schema_migration TO :"role";
GRANT SELECT, INSERT, UPDATE ON usage_tracker.journal_offset TO :"role";
GRANT SELECT, INSERT ON usage_tracker.usage_kind, usage_tracker.usage_owner, usage_tracker.usage_user,
    usage_tracker.usage_tag, usage_tracker.usage_tags, usage_tracker.usage_host, usage_tracker.usage_price,
    usage_tracker.usage_shape TO :"role";
GRANT INSERT ON usage_tracker.usage_event, usage_tracker.delta_hour, usage_tracker.delta_day_user,
    usage_tracker.delta_day_tag, usage_tracker.delta_day_latency, usage_tracker.delta_day_owner_latency TO :"role";
GRANT SELECT, INSERT, UPDATE ON usage_tracker.usage_awaited TO :"role";
GRANT SELECT, INSERT ON usage_tracker.usage_completed TO :"role";
GRANT SELECT, INSERT, DELETE ON usage_tracker.usage_kept_aside TO :"role";
