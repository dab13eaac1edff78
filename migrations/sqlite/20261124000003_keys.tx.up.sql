ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT '*';

--bun:split

ALTER TABLE api_keys ADD COLUMN rate INTEGER NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE api_keys ADD COLUMN expires_at INTEGER NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE api_keys ADD COLUMN revoked_at INTEGER NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE api_keys ADD COLUMN last_used_at INTEGER NOT NULL DEFAULT 0;

--bun:split

CREATE TABLE api_usage (
    key_id   INTEGER NOT NULL,
    day      TEXT   NOT NULL,
    scope    TEXT   NOT NULL,
    requests INTEGER NOT NULL,
    refused  INTEGER NOT NULL,
    failed   INTEGER NOT NULL,
    notices  INTEGER NOT NULL,
    PRIMARY KEY (day, key_id, scope)
);
