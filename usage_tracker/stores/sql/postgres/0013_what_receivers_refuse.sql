-- Which events a sink's receiver has refused for good, each by itself while it took others: the sink goes on without them.
-- `refused_at` is in seconds since 1970.
CREATE TABLE usage_tracker.sink_refused (
    name text NOT NULL,
    event_id text NOT NULL,
    refused_at double precision NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (name, event_id)
);

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
