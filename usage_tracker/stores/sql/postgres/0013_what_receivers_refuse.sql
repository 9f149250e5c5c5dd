-- Which events a sink's receiver has refused for good, each by itself while it took others: the sink goes on without them.
-- `refused_at` is in seconds since 1970.
CREATE TABLE usage_tracker.sink_refused (
    name text NOT NULL,
    event_id text NOT NULL,
    refused_at double precision NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (name, event_id)
);

-- How many events a sink is sent at once, since its receiver has refused more: null where it takes as many as there are.
ALTER TABLE usage_tracker.sink ADD COLUMN at_once bigint;

-- How many places after `done` were refused, each by itself, before the one after them was taken: they are asked about again.
ALTER TABLE usage_tracker.sink ADD COLUMN ahead bigint NOT NULL DEFAULT 0;

-- Who reads what is known of sinks, or keeps it, does so with this.
DO $$
DECLARE
    role text;
    privilege text;
BEGIN
    FOR role, privilege IN
        SELECT grantee::regrole::text, privilege_type FROM pg_class, aclexplode(relacl)
        WHERE oid = 'usage_tracker.sink'::regclass AND privilege_type IN ('INSERT', 'SELECT', 'DELETE')
            AND grantee NOT IN (0, relowner)
    LOOP
        EXECUTE format('GRANT %s ON usage_tracker.sink_refused TO %s', privilege, role);
    END LOOP;
END $$;
