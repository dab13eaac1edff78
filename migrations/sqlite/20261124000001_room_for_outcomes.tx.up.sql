-- SQLite updates rows where they are.
SELECT 1;
