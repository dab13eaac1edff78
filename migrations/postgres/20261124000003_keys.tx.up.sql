ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT '*';

--bun:split

ALTER TABLE api_keys ADD COLUMN rate BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE api_keys ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE api_keys ADD COLUMN revoked_at BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE api_keys ADD COLUMN last_used_at BIGINT NOT NULL DEFAULT 0;

--bun:split

CREATE TABLE api_usage (
    key_id   BIGINT NOT NULL,
    day      TEXT   NOT NULL,
    scope    TEXT   NOT NULL,
    requests BIGINT NOT NULL,
    refused  BIGINT NOT NULL,
    failed   BIGINT NOT NULL,
    notices  BIGINT NOT NULL,
    PRIMARY KEY (day, key_id, scope)
);
