-- A writer: a program that ships its own events. It stores them and nothing else: it can't read or delete them, change the
-- schema or fold deltas. It reads the names that events refer to (projects, users, tags, fingerprints of API keys).
GRANT USAGE ON SCHEMA usage_tracker TO :"role";
GRANT SELECT ON usage_tracker.schema_migration, usage_tracker.price_version, usage_tracker.price TO :"role";
GRANT SELECT, INSERT, UPDATE ON usage_tracker.journal_offset TO :"role";
GRANT SELECT, INSERT ON usage_tracker.usage_kind, usage_tracker.usage_owner, usage_tracker.usage_user,
    usage_tracker.usage_tag, usage_tracker.usage_tags, usage_tracker.usage_host, usage_tracker.usage_price,
    usage_tracker.usage_shape TO :"role";
GRANT INSERT ON usage_tracker.usage_event, usage_tracker.delta_hour, usage_tracker.delta_day_user,
    usage_tracker.delta_day_tag, usage_tracker.delta_day_latency, usage_tracker.delta_day_owner_latency TO :"role";
-- Usage that comes later than its call: what is awaited, and what waits for its call.
GRANT SELECT, INSERT, UPDATE ON usage_tracker.usage_awaited TO :"role";
GRANT SELECT, INSERT ON usage_tracker.usage_completed TO :"role";
GRANT SELECT, INSERT, DELETE ON usage_tracker.usage_kept_aside TO :"role";
GRANT SELECT, INSERT, UPDATE, DELETE ON usage_tracker.budget_account, usage_tracker.budget_reservation,
    usage_tracker.budget_alert TO :"role";
-- How it fares, for who looks after all hosts.
GRANT SELECT, INSERT, UPDATE ON usage_tracker.host_report TO :"role";
-- While there is a sink, it is noted which events came together.
GRANT SELECT (name) ON usage_tracker.sink TO :"role";
GRANT SELECT (batch), INSERT ON usage_tracker.usage_batch TO :"role";
