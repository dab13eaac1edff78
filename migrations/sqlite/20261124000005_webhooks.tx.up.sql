-- Secrets are not here: they follow from the secret file, the id and the generation.
CREATE TABLE webhooks (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    url         TEXT   NOT NULL,
    events      TEXT   NOT NULL,
    generation  INTEGER NOT NULL,
    old_until   INTEGER NOT NULL,
    disabled_at INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
);

--bun:split

CREATE TABLE webhook_messages (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id INTEGER NOT NULL,
    message_id TEXT   NOT NULL,
    event      TEXT   NOT NULL,
    data       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    attempts   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    sent_since INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    status     INTEGER NOT NULL,
    fault      TEXT   NOT NULL
);

--bun:split

CREATE INDEX webhook_messages_waiting ON webhook_messages (webhook_id, due_at) WHERE state = 'waiting';

--bun:split

CREATE INDEX webhook_messages_delivered ON webhook_messages (created_at) WHERE state = 'delivered';

--bun:split

CREATE INDEX webhook_messages_dead ON webhook_messages (webhook_id, id) WHERE state = 'dead';

--bun:split

CREATE INDEX webhook_messages_of ON webhook_messages (webhook_id, id);
