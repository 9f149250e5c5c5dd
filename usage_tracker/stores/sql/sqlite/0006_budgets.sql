-- Budgets, each as JSON; `changed_at` is for people.
CREATE TABLE budget (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    changed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) WITHOUT ROWID;

-- What is known to be used of each part of a strict budget in one window: by events that were stored when it was last
-- read, at `read_at`. A call that reserves locks the row. `part` is '' where a budget has only one; `window_start` is
-- in seconds since 1970, and 0 where the window rolls. Limits per minute count here alone, when calls are let go.
-- Amounts are whole: tokens, calls, and billionths of a dollar.
CREATE TABLE budget_account (
    budget TEXT NOT NULL,
    part TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    used INTEGER NOT NULL,
    read_at REAL NOT NULL,
    PRIMARY KEY (budget, part, window_start)
) WITHOUT ROWID;

-- What calls of strict budgets may use, or have used and is not among what was read above. `segment` and `position`:
-- the place in the journal that is stored when it is among the events; null while the call is under way.
CREATE TABLE budget_reservation (
    reservation BLOB NOT NULL,
    budget TEXT NOT NULL,
    part TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    expires_at REAL NOT NULL,
    segment BLOB,
    position INTEGER,
    PRIMARY KEY (budget, part, window_start, reservation)
) WITHOUT ROWID;
CREATE INDEX budget_reservation_id ON budget_reservation (reservation);

-- One row for each alert and receiver: who inserts it is the one that sends it. `subject` is a budget's name, or
-- `anomaly`, `unpriced`, `dropped`; `receiver` a kind and a hash of its address.
CREATE TABLE budget_alert (
    subject TEXT NOT NULL,
    part TEXT NOT NULL,
    window_start INTEGER NOT NULL,
    threshold TEXT NOT NULL,
    receiver TEXT NOT NULL,
    message TEXT NOT NULL,
    raised_at REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_try_at REAL NOT NULL,
    sent_at REAL,
    PRIMARY KEY (subject, part, window_start, threshold, receiver)
) WITHOUT ROWID;
