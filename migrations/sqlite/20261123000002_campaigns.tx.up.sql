CREATE TABLE campaigns (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT   NOT NULL,
    topic_id      INTEGER NOT NULL REFERENCES topics (id),
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

-- The destinations of a campaign's click redirects, fixed when it is scheduled.
CREATE TABLE links (
    campaign_id INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    url         TEXT   NOT NULL,
    PRIMARY KEY (campaign_id, number)
);

--bun:split

-- No index covers a column that an outcome changes, so that recording one
-- touches the row alone.
CREATE TABLE deliveries (
    campaign_id  INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    recipient_id INTEGER NOT NULL,
    state        TEXT   NOT NULL,
    attempts     INTEGER NOT NULL,
    retry_at     INTEGER NOT NULL,
    stage        TEXT   NOT NULL,
    code         INTEGER NOT NULL,
    enhanced     TEXT   NOT NULL,
    reply        TEXT   NOT NULL,
    changed_at   INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, number),
    UNIQUE (recipient_id, campaign_id)
) WITHOUT ROWID;

--bun:split

-- A run of delivery numbers: the unit of queueing, owned by one worker at a
-- time. The open window is what its owner may be handing over right now.
CREATE TABLE chunks (
    campaign_id  INTEGER NOT NULL,
    first        INTEGER NOT NULL,
    last         INTEGER NOT NULL,
    owner        TEXT   NOT NULL,
    window_first INTEGER NOT NULL,
    window_last  INTEGER NOT NULL,
    retry_at     INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    done         INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, first)
);

--bun:split

CREATE INDEX chunks_open ON chunks (campaign_id, first) WHERE done = 0;

--bun:split

CREATE TABLE workers (
    id      TEXT PRIMARY KEY,
    seen_at INTEGER NOT NULL
);

--bun:split

CREATE TABLE hits (
    id           TEXT   PRIMARY KEY,
    kind         TEXT   NOT NULL,
    campaign_id  INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    recipient_id INTEGER NOT NULL,
    link         INTEGER NOT NULL,
    network      TEXT   NOT NULL,
    at           INTEGER NOT NULL
);

--bun:split

CREATE INDEX hits_by_campaign ON hits (campaign_id, kind, number);
