-- An entry has a MAC from the start. It is never written to again.
ALTER TABLE audit ADD COLUMN caller_id TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE audit ADD COLUMN network TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE audit ADD COLUMN region TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE audit ADD COLUMN details TEXT NOT NULL DEFAULT '{}';

--bun:split

ALTER TABLE audit ADD COLUMN nonce BYTEA;

--bun:split

ALTER TABLE audit ADD COLUMN mac BYTEA;

--bun:split

CREATE INDEX audit_by_request ON audit (request_id) WHERE request_id <> '';

--bun:split

CREATE INDEX audit_by_caller ON audit (caller_id) WHERE caller_id <> '';

--bun:split

-- Entries that no seal covers yet.
CREATE TABLE audit_unsealed (
    id BIGINT PRIMARY KEY
);

--bun:split

INSERT INTO audit_unsealed (id) SELECT id FROM audit;

--bun:split

-- The chain: each seal covers some entries, by ids and MACs, and the seal before it.
CREATE TABLE audit_seals (
    number  BIGINT PRIMARY KEY,
    entries BYTEA NOT NULL,
    chain   BYTEA NOT NULL,
    at      BIGINT NOT NULL
);
