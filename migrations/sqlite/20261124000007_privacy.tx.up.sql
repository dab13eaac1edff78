-- Words are kept with their language, and with the version of the privacy policy that stood beside them.
ALTER TABLE evidence ADD COLUMN language TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE evidence ADD COLUMN policy TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE consents ADD COLUMN sign_up_id INTEGER NOT NULL DEFAULT 0;

--bun:split

-- Known from a sign-up alone that nobody confirmed: no account holder, and removed with it.
ALTER TABLE recipients ADD COLUMN stranger INTEGER NOT NULL DEFAULT 0;

--bun:split

-- A form's current version; every version is kept, since sign-ups say which they used.
CREATE TABLE forms (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    key     TEXT   NOT NULL UNIQUE,
    version INTEGER NOT NULL
);

--bun:split

CREATE TABLE form_versions (
    form_id     INTEGER NOT NULL,
    version     INTEGER NOT NULL,
    title       TEXT   NOT NULL,
    intro       TEXT   NOT NULL,
    topics      TEXT   NOT NULL,
    measurement INTEGER NOT NULL,
    policy_url  TEXT   NOT NULL,
    policy      TEXT   NOT NULL,
    closed      INTEGER NOT NULL,
    actor       TEXT   NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (form_id, version)
);

--bun:split

-- What somebody asked for in a form, and whether the owner of the address confirmed it.
CREATE TABLE sign_ups (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    form_id           INTEGER NOT NULL,
    form_version      INTEGER NOT NULL,
    recipient_id      INTEGER NOT NULL,
    address_hash      BLOB   NOT NULL,
    name              TEXT   NOT NULL,
    language          TEXT   NOT NULL,
    choices           TEXT   NOT NULL,
    network           TEXT   NOT NULL,
    requested_at      INTEGER NOT NULL,
    message_id        TEXT   NOT NULL,
    confirmed_at      INTEGER NOT NULL,
    confirmed_network TEXT   NOT NULL
);

--bun:split

CREATE INDEX sign_ups_by_address ON sign_ups (address_hash, requested_at);

--bun:split

CREATE INDEX sign_ups_by_network ON sign_ups (network, requested_at);

--bun:split

CREATE INDEX sign_ups_unconfirmed ON sign_ups (requested_at) WHERE confirmed_at = 0;

--bun:split

CREATE INDEX sign_ups_by_recipient ON sign_ups (recipient_id);

--bun:split

-- What people ask for about their data. No address: it outlives the data.
CREATE TABLE requests (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT   NOT NULL,
    recipient_id INTEGER NOT NULL,
    address_hash BLOB   NOT NULL,
    channel      TEXT   NOT NULL,
    actor        TEXT   NOT NULL,
    reason       TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    created_at   INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    ended_at     INTEGER NOT NULL,
    receipt      TEXT   NOT NULL
);

--bun:split

CREATE INDEX requests_open ON requests (due_at) WHERE state = 'open';

--bun:split

CREATE INDEX requests_by_recipient ON requests (recipient_id) WHERE recipient_id > 0;

--bun:split

CREATE INDEX requests_by_address ON requests (address_hash, created_at);

--bun:split

-- Why people opted out, if they said so: counted, and of nobody.
CREATE TABLE opt_out_reasons (
    topic_id INTEGER NOT NULL,
    day      TEXT   NOT NULL,
    reason   TEXT   NOT NULL,
    people   INTEGER NOT NULL,
    PRIMARY KEY (topic_id, day, reason)
);

--bun:split

CREATE INDEX hits_by_recipient ON hits (recipient_id);

