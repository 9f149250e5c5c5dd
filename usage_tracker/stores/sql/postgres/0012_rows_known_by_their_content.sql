-- A publication of all tables, as tools that copy databases or follow their changes make one, lets nobody update or delete rows
-- of a table that has no key: nothing was folded, moved into a month, priced again or taken out. All columns together stand in
-- for the key. They are logged a second time where a row goes, and only if the server logs for such tools.
DO $$
DECLARE
    relation text;
BEGIN
    FOR relation IN
        SELECT relid::text FROM pg_partition_tree('usage_tracker.usage_event') JOIN pg_class ON oid = relid
            WHERE relkind IN ('r', 'p')  -- old months may be foreign tables by now
        UNION ALL SELECT 'usage_tracker.' || delta
            FROM unnest('{delta_hour,delta_day_user,delta_day_tag,delta_day_latency,delta_day_owner_latency}'::text[]) AS delta
    LOOP
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', relation);
    END LOOP;
END $$;
