-- A type's current version; every version is kept, since notices say which they used.
CREATE TABLE notice_types (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    key     TEXT   NOT NULL UNIQUE,
    version INTEGER NOT NULL
);

--bun:split

CREATE TABLE notice_type_versions (
    type_id          INTEGER NOT NULL,
    version          INTEGER NOT NULL,
    name             TEXT   NOT NULL,
    reason           TEXT   NOT NULL,
    kind             TEXT   NOT NULL,
    mandatory_reason TEXT   NOT NULL,
    sender           TEXT   NOT NULL,
    reply_to         TEXT   NOT NULL,
    subject          TEXT   NOT NULL,
    format           TEXT   NOT NULL,
    body             TEXT   NOT NULL,
    text             TEXT   NOT NULL,
    schema           TEXT   NOT NULL,
    validity         INTEGER NOT NULL,
    keys             TEXT   NOT NULL,
    actor            TEXT   NOT NULL,
    created_at       INTEGER NOT NULL,
    PRIMARY KEY (type_id, version)
);

--bun:split

-- One request of another system. Its data and files go when its last notice is final.
CREATE TABLE notice_calls (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    type_id      INTEGER NOT NULL,
    type_version INTEGER NOT NULL,
    key_id       INTEGER NOT NULL,
    idempotency  TEXT   NOT NULL,
    body_hash    BLOB  NOT NULL,
    answer       TEXT   NOT NULL,
    data         TEXT   NOT NULL,
    forgotten    INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
);

--bun:split

CREATE UNIQUE INDEX notice_calls_idempotency ON notice_calls (key_id, idempotency) WHERE idempotency <> '';

--bun:split

CREATE INDEX notice_calls_held ON notice_calls (id) WHERE forgotten = 0;

--bun:split

CREATE TABLE notice_files (
    call_id      INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    name         TEXT   NOT NULL,
    content_type TEXT   NOT NULL,
    content_id   TEXT   NOT NULL,
    content      BLOB  NOT NULL,
    PRIMARY KEY (call_id, number)
);

--bun:split

-- The ledger of notices.
CREATE TABLE notices (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id      INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    type_id      INTEGER NOT NULL,
    type_version INTEGER NOT NULL,
    recipient_id INTEGER NOT NULL,
    name         TEXT   NOT NULL,
    locale       TEXT   NOT NULL,
    data         TEXT   NOT NULL,
    external_id  TEXT   NOT NULL,
    metadata     TEXT   NOT NULL,
    actor        TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    attempts     INTEGER NOT NULL,
    owner        TEXT   NOT NULL,
    due_at       INTEGER NOT NULL,
    valid_until  INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    stage        TEXT   NOT NULL,
    code         INTEGER NOT NULL,
    enhanced     TEXT   NOT NULL,
    reply        TEXT   NOT NULL,
    created_at   INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL
);

--bun:split

-- What waits; small, since a notice is final within moments.
CREATE INDEX notices_open ON notices (id) WHERE state IN ('queued', 'claimed', 'deferred');

--bun:split

-- What did not go well: for lists by state.
CREATE INDEX notices_troubled ON notices (state, id) WHERE state IN ('bounced', 'failed', 'suppressed', 'expired');

--bun:split

CREATE INDEX notices_by_call ON notices (call_id);

--bun:split

CREATE INDEX notices_by_recipient ON notices (recipient_id, id);

--bun:split

CREATE INDEX notices_by_type ON notices (type_id, id);

--bun:split

CREATE INDEX notices_by_external_id ON notices (external_id, id) WHERE external_id <> '';

--bun:split

CREATE TABLE notice_attempts (
    notice_id INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    state     TEXT   NOT NULL,
    stage     TEXT   NOT NULL,
    code      INTEGER NOT NULL,
    enhanced  TEXT   NOT NULL,
    reply     TEXT   NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (notice_id, number)
);

--bun:split

-- Append-only. Names no address: object is a kind and an id.
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    actor      TEXT   NOT NULL,
    action     TEXT   NOT NULL,
    object     TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    request_id TEXT   NOT NULL,
    metadata   TEXT   NOT NULL
);

--bun:split

CREATE INDEX audit_by_object ON audit (object, id);
