-- The price book: each version is a whole, and none is ever changed, so that an event's price_version tells what priced it.
CREATE TABLE usage_tracker.price_version (
    version integer PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    note text NOT NULL
);

-- `entry` is the whole entry as JSON, with `position` for its place in the book; the columns between are for people.
CREATE TABLE usage_tracker.price (
    version integer NOT NULL REFERENCES usage_tracker.price_version,
    position integer NOT NULL,
    provider text,
    model text NOT NULL,
    valid_from date,
    valid_until date,
    entry text NOT NULL,
    PRIMARY KEY (version, position)
);

-- Whoever stores events prices them, whichever role that is; without a right to the schema this one is none.
GRANT SELECT ON usage_tracker.price_version, usage_tracker.price TO PUBLIC;
