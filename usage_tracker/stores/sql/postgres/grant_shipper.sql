-- A shipper: a writer that also folds, as `usage-tracker ship` does beside programs that ship nothing or can't fold.
GRANT SELECT, DELETE ON usage_tracker.delta_hour, usage_tracker.delta_day_user, usage_tracker.delta_day_tag,
    usage_tracker.delta_day_latency, usage_tracker.delta_day_owner_latency TO :"role";
GRANT SELECT, INSERT, UPDATE ON usage_tracker.rollup_hour, usage_tracker.rollup_day, usage_tracker.rollup_hour_kind,
    usage_tracker.rollup_day_kind, usage_tracker.rollup_hour_owner, usage_tracker.rollup_day_owner,
    usage_tracker.rollup_day_user, usage_tracker.rollup_day_user_total, usage_tracker.rollup_week_user_total,
    usage_tracker.rollup_day_tag,
    usage_tracker.rollup_day_tag_total, usage_tracker.rollup_day_latency, usage_tracker.rollup_day_owner_latency
    TO :"role";
