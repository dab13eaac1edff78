-- An entry has a MAC from the start, and a place in the chain once it is sealed.
ALTER TABLE audit ADD COLUMN caller_id TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE audit ADD COLUMN network TEXT NOT NULL DEFAULT '';

--bun:split

ALTER TABLE audit ADD COLUMN details TEXT NOT NULL DEFAULT '{}';

--bun:split

ALTER TABLE audit ADD COLUMN nonce BLOB;

--bun:split

ALTER TABLE audit ADD COLUMN mac BLOB;

--bun:split

ALTER TABLE audit ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE audit ADD COLUMN chain BLOB;

--bun:split

CREATE UNIQUE INDEX audit_sealed ON audit (seq) WHERE seq > 0;

--bun:split

CREATE INDEX audit_unsealed ON audit (id) WHERE seq = 0;

--bun:split

CREATE INDEX audit_by_request ON audit (request_id) WHERE request_id <> '';

--bun:split

CREATE INDEX audit_by_caller ON audit (caller_id) WHERE caller_id <> '';
