-- The line of the secret file that address_hash rests on, by its id; 0: the first.
ALTER TABLE recipients ADD COLUMN key_id INTEGER NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE suppressions ADD COLUMN key_id INTEGER NOT NULL DEFAULT 0;
