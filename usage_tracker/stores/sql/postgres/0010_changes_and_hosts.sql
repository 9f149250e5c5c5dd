-- Who has changed a budget or the price book, when, and what stood there before and after; null where nothing did. `kind`
-- is budget or prices, `subject` the budget's name or the number of the book's version, `through` what it was done with.
CREATE TABLE usage_tracker.change_log (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text NOT NULL,
    subject text NOT NULL,
    who text NOT NULL,
    through text NOT NULL,
    before text,
    after text
);

-- What the leader of a host's spool folder has last said of itself and of its neighbours: figures, versions and places of
-- SDKs, as JSON.
CREATE TABLE usage_tracker.host_report (
    host text NOT NULL,
    spool text NOT NULL,
    reported_at timestamptz NOT NULL,
    report text NOT NULL,
    PRIMARY KEY (host, spool)
) WITH (fillfactor = 50);

-- Whoever stores events may say how it fares.
DO $$
DECLARE
    role text;
BEGIN
    FOR role IN
        SELECT grantee::regrole::text FROM pg_class, aclexplode(relacl)
        WHERE oid = 'usage_tracker.usage_event'::regclass AND privilege_type = 'INSERT' AND grantee NOT IN (0, relowner)
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON usage_tracker.host_report TO %s', role);
    END LOOP;
END $$;
