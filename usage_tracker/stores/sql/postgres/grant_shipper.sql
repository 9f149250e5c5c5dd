-- A shipper: a writer that also folds, as `usage-tracker ship` does beside programs that ship nothing or can't fold.
GRANT SELECT, DELETE ON usage_tracker.delta_hour, usage_tracker.delta_day_user, usage_tracker.delta_day_tag,
    usage_tracker.delta_day_latency TO :"role";
GRANT SELECT, INSERT, UPDATE ON usage_tracker.rollup_hour, usage_tracker.rollup_day, usage_tracker.rollup_day_user,
    usage_tracker.rollup_day_tag, usage_tracker.rollup_day_latency TO :"role";
