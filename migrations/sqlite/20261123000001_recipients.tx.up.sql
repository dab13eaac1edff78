CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

--bun:split

CREATE TABLE topics (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    key        TEXT   NOT NULL UNIQUE,
    name       TEXT   NOT NULL,
    created_at INTEGER NOT NULL
);

--bun:split

CREATE TABLE recipients (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    email        TEXT   NOT NULL,
    canonical    TEXT   NOT NULL UNIQUE,
    address_hash BLOB   NOT NULL,
    name         TEXT   NOT NULL,
    locale       TEXT   NOT NULL,
    time_zone    TEXT   NOT NULL,
    attributes   TEXT   NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
);

--bun:split

CREATE TABLE attribute_names (
    name TEXT PRIMARY KEY
);

--bun:split

-- Where and with which words consent was given; shared by the rows of an import.
CREATE TABLE evidence (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    source  TEXT NOT NULL,
    wording TEXT NOT NULL,
    hash    BLOB  NOT NULL UNIQUE
);

--bun:split

-- Append-only ledger.
CREATE TABLE consents (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient_id INTEGER NOT NULL,
    purpose      TEXT   NOT NULL,
    topic_id     INTEGER NOT NULL,
    decision     TEXT   NOT NULL,
    channel      TEXT   NOT NULL,
    evidence_id  INTEGER NOT NULL,
    actor        TEXT   NOT NULL,
    network      TEXT   NOT NULL,
    at           INTEGER NOT NULL
);

--bun:split

CREATE INDEX consents_by_recipient ON consents (recipient_id, purpose, topic_id, id);

--bun:split

-- The latest row of the ledger, kept in the same transaction that appends it.
CREATE TABLE consent_states (
    recipient_id INTEGER NOT NULL,
    purpose      TEXT   NOT NULL,
    topic_id     INTEGER NOT NULL,
    decision     TEXT   NOT NULL,
    PRIMARY KEY (recipient_id, purpose, topic_id)
) WITHOUT ROWID;

--bun:split

CREATE INDEX consent_states_given ON consent_states (topic_id, recipient_id)
    WHERE purpose = 'topic' AND decision = 'given';

--bun:split

CREATE TABLE suppressions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    address_hash BLOB   NOT NULL,
    topic_id     INTEGER NOT NULL,
    reason       TEXT   NOT NULL,
    evidence     TEXT   NOT NULL,
    actor        TEXT   NOT NULL,
    created_at   INTEGER NOT NULL,
    UNIQUE (address_hash, topic_id, reason)
);

--bun:split

CREATE TABLE api_keys (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT   NOT NULL UNIQUE,
    hash       BLOB   NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
);
