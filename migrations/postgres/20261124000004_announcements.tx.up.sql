-- An announcement is a campaign of a notice type: its topic_id is the negative id of the type.
ALTER TABLE campaigns DROP CONSTRAINT campaigns_topic_id_fkey;

--bun:split

ALTER TABLE campaigns ADD COLUMN notice_version BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE campaigns ADD COLUMN notice_kind TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE campaigns ADD COLUMN data TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE campaigns ADD COLUMN segment TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE campaigns ADD COLUMN pace BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE campaigns ADD COLUMN next_at BIGINT NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE campaigns ADD COLUMN actor TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE campaigns ADD COLUMN idempotency TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE campaigns ADD COLUMN body_hash BYTEA;

--bun:split

CREATE UNIQUE INDEX campaigns_idempotency ON campaigns (idempotency) WHERE idempotency <> '';
