-- An announcement is a campaign of a notice type: its topic_id is the negative id of the type.
CREATE TABLE campaigns_new (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT   NOT NULL,
    topic_id      INTEGER NOT NULL,
    sender        TEXT   NOT NULL,
    reply_to      TEXT   NOT NULL,
    subject       TEXT   NOT NULL,
    preheader     TEXT   NOT NULL,
    format        TEXT   NOT NULL,
    body          TEXT   NOT NULL,
    layout        TEXT   NOT NULL,
    track_opens   TEXT   NOT NULL,
    track_clicks  TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    send_at       INTEGER NOT NULL,
    time_zone     TEXT   NOT NULL,
    audience      INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    frozen_at     INTEGER NOT NULL,
    sending_since INTEGER NOT NULL,
    ended_at      INTEGER NOT NULL
);

--bun:split

INSERT INTO sqlite_sequence (name, seq) SELECT 'campaigns_new', seq FROM sqlite_sequence WHERE name = 'campaigns';

--bun:split

INSERT INTO campaigns_new SELECT id, name, topic_id, sender, reply_to, subject, preheader, format, body, layout, track_opens, track_clicks, state, send_at, time_zone,
    audience, version, created_at, updated_at, frozen_at, sending_since, ended_at FROM campaigns;

--bun:split

DROP TABLE campaigns;

--bun:split

ALTER TABLE campaigns_new RENAME TO campaigns;

--bun:split

ALTER TABLE campaigns ADD COLUMN notice_version INTEGER NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE campaigns ADD COLUMN notice_kind TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE campaigns ADD COLUMN data TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE campaigns ADD COLUMN segment TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE campaigns ADD COLUMN pace INTEGER NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE campaigns ADD COLUMN next_at INTEGER NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE campaigns ADD COLUMN actor TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE campaigns ADD COLUMN idempotency TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE campaigns ADD COLUMN body_hash BLOB;

--bun:split

CREATE UNIQUE INDEX campaigns_idempotency ON campaigns (idempotency) WHERE idempotency <> '';
