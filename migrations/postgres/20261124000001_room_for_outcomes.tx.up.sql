-- A window's outcomes are written at once: a page needs room for a second form
-- of all its rows, or the indexes are written too (no heap-only update).
ALTER TABLE deliveries SET (fillfactor = 45);
