-- Alerts, their evidence and history, and the feed of everything that happens to them.
-- Times are microseconds since 1970, UTC.

-- One row: who locks it writes the next events, so that numbers follow the order of the commits.
CREATE TABLE feed (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
    last bigint NOT NULL DEFAULT 0,
    repeats bigint NOT NULL DEFAULT 0,
    escalation_place bigint NOT NULL DEFAULT 0
);
INSERT INTO feed DEFAULT VALUES;

-- What stands. `sequence` is the event that stored the latest revision, with the hit.
CREATE TABLE alerts (
    id text PRIMARY KEY,
    sequence bigint NOT NULL UNIQUE,
    revision bigint NOT NULL,
    review text,
    reviewer text,
    review_note text,
    reviewed_us bigint,
    reviewer_named_by text,
    outcome text,
    escalated_by text,
    escalation_note text,
    escalated_us bigint,
    escalation_named_by text
);
CREATE INDEX alerts_decided ON alerts (sequence) WHERE reviewed_us IS NOT NULL;

-- The feed. A hit has `hit` and `received_us`, what a person did `act` and the columns behind it,
-- a checkpoint's change `checkpoint` and `status`. Hits lie in the row itself, not beside it.
CREATE TABLE events (
    sequence bigint PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('hit', 'review', 'escalation', 'checkpoint')),
    alert_id text REFERENCES alerts ON DELETE CASCADE,
    revision bigint,
    hit bytea,
    received_us bigint,
    act text,
    person text,
    named_by text,
    at_us bigint,
    state text,
    note text,
    outcome text,
    checkpoint text,
    status bytea,
    CHECK ((kind = 'checkpoint') = (alert_id IS NULL)),
    CHECK ((kind = 'hit') = (hit IS NOT NULL)),
    CHECK ((kind IN ('review', 'escalation')) = (act IS NOT NULL))
) WITH (toast_tuple_target = 8160);
CREATE UNIQUE INDEX events_of_revisions ON events (alert_id, revision) WHERE kind = 'hit';
CREATE INDEX events_of_alerts ON events (alert_id, sequence) WHERE alert_id IS NOT NULL;
CREATE INDEX events_of_checkpoints ON events (checkpoint, sequence) WHERE kind = 'checkpoint';

CREATE TABLE pictures (
    alert_id text NOT NULL REFERENCES alerts ON DELETE CASCADE,
    revision bigint NOT NULL,
    jpeg bytea NOT NULL,
    PRIMARY KEY (alert_id, revision)
);
ALTER TABLE pictures ALTER COLUMN jpeg SET STORAGE EXTERNAL;  -- a JPEG cannot be compressed

CREATE TABLE checkpoints (
    name text PRIMARY KEY,
    state text NOT NULL,
    seen_us bigint NOT NULL,
    status bytea NOT NULL
);
