-- What files of this store are named after, so that two stores may export into one folder.
CREATE TABLE usage_tracker.store_identity (
    store_id uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO usage_tracker.store_identity DEFAULT VALUES;

-- Where events were exported to, and who does so now: `claimed_until` is in seconds since 1970.
CREATE TABLE usage_tracker.export_destination (
    destination text PRIMARY KEY,
    form text NOT NULL,
    grain text NOT NULL,
    claim text,
    claimed_until double precision
);

-- Each file there, by the hour or day that it holds. `counted`: what the rollups said of that time just before its events were
-- read; null while a file is on its way, and where it isn't known what came of that. `rows`: how many events are in it.
CREATE TABLE usage_tracker.export_file (
    destination text NOT NULL,
    bucket text NOT NULL,
    version bigint NOT NULL,
    counted text,
    rows bigint,
    exported_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (destination, bucket)
);
