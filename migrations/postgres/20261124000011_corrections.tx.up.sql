-- Where the link of a correction went, while it is open, and the keyed hash of it:
-- links to one mailbox are counted, whosever address it is to be.
ALTER TABLE requests ADD COLUMN new_address TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE requests ADD COLUMN new_hash BYTEA NOT NULL DEFAULT '';

--bun:split

CREATE INDEX requests_by_new_address ON requests (new_hash, created_at);

--bun:split

-- Since when the recipient has this address; 0: from the beginning. What was sent
-- before went to another mailbox.
ALTER TABLE recipients ADD COLUMN address_since BIGINT NOT NULL DEFAULT 0;
