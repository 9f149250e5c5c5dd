-- Budgets, each as JSON; `changed_at` is for people.
CREATE TABLE usage_tracker.budget (
    name text PRIMARY KEY,
    definition text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- What is known to be used of each part of a strict budget in one window: by events that were stored when it was last
-- read, at `read_at`. A call that reserves locks the row. `part` is '' where a budget has only one; `window_start` is
-- in seconds since 1970, and 0 where the window rolls. Limits per minute count here alone, when calls are let go.
-- Amounts are whole: tokens, calls, and billionths of a dollar.
CREATE TABLE usage_tracker.budget_account (
    budget text NOT NULL,
    part text NOT NULL,
    window_start bigint NOT NULL,
    used bigint NOT NULL,
    read_at double precision NOT NULL,
    PRIMARY KEY (budget, part, window_start)
) WITH (fillfactor = 50);

-- What calls of strict budgets may use, or have used and is not among what was read above. `segment` and `position`:
-- the place in the journal that is stored when it is among the events; null while the call is under way.
CREATE TABLE usage_tracker.budget_reservation (
    reservation uuid NOT NULL,
    budget text NOT NULL,
    part text NOT NULL,
    window_start bigint NOT NULL,
    amount bigint NOT NULL,
    expires_at double precision NOT NULL,
    segment uuid,
    position bigint,
    PRIMARY KEY (budget, part, window_start, reservation)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX budget_reservation_id ON usage_tracker.budget_reservation (reservation);

-- One row for each alert and receiver: who inserts it is the one that sends it. `subject` is a budget's name, or
-- `anomaly`, `unpriced`, `dropped`; `receiver` a kind and a hash of its address.
CREATE TABLE usage_tracker.budget_alert (
    subject text NOT NULL,
    part text NOT NULL,
    window_start bigint NOT NULL,
    threshold text NOT NULL,
    receiver text NOT NULL,
    message text NOT NULL,
    raised_at double precision NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    next_try_at double precision NOT NULL,
    sent_at double precision,
    PRIMARY KEY (subject, part, window_start, threshold, receiver)
);

-- Whoever stores events may be held to a budget.
GRANT SELECT ON usage_tracker.budget TO PUBLIC;
DO $$
DECLARE
    role text;
BEGIN
    FOR role IN
        SELECT grantee::regrole::text FROM pg_class, aclexplode(relacl)
        WHERE oid = 'usage_tracker.usage_event'::regclass AND privilege_type = 'INSERT' AND grantee NOT IN (0, relowner)
    LOOP
        EXECUTE format(
            'GRANT SELECT, INSERT, UPDATE, DELETE ON usage_tracker.budget_account, usage_tracker.budget_reservation, '
            'usage_tracker.budget_alert TO %s', role);
    END LOOP;
END $$;
