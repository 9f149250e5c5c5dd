-- What calls cost before they were priced again: the first cost of each, whoever priced it how often since.
CREATE TABLE usage_tracker.usage_original (
    event_id uuid PRIMARY KEY,
    started_at timestamptz NOT NULL,
    repriced_at timestamptz NOT NULL DEFAULT now(),
    cost numeric,
    price_key integer,
    cost_counts text,
    cost_flags text[]
);

CREATE VIEW usage_tracker.repriced AS
    SELECT o.event_id, o.started_at, o.repriced_at, trim_scale(o.cost) AS original_cost,
        p.source AS original_source, p.version AS original_version, coalesce(o.cost_flags, '{}') AS original_flags
    FROM usage_tracker.usage_original o
    LEFT JOIN usage_tracker.usage_price p USING (price_key);
