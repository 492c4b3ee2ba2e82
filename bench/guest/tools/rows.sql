PRAGMA journal_mode = MEMORY;
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, value REAL, kind INTEGER);
BEGIN;
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
INSERT INTO item SELECT i, printf('row %x', (i * 2654435761) % 4294967296), (i * 7919 % 10007) / 4.0, i * 31 % 97 FROM n;
COMMIT;
CREATE INDEX by_kind ON item (kind, value);
SELECT kind, count(*), sum(value), max(name) FROM item GROUP BY kind ORDER BY 3 DESC LIMIT 10;
SELECT count(*) FROM item a JOIN item b ON b.id = (a.id * 37) % 100000 + 1 WHERE a.kind BETWEEN 5 AND 20 AND b.value > 1000;
UPDATE item SET value = value + 1 WHERE kind IN (3, 5, 7);
DELETE FROM item WHERE id % 10 = 0;
SELECT count(*), sum(value), min(name) FROM item WHERE name LIKE '%ab%';
