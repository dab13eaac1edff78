-- Which beacons a mail bore (1: opens, 2: clicks, 3: both), and whether its own
-- unsubscribe link was used. Both are written with what is written anyway.
ALTER TABLE deliveries ADD COLUMN measured INTEGER NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE deliveries ADD COLUMN opted_out INTEGER NOT NULL DEFAULT 0;

--bun:split

ALTER TABLE hits RENAME TO hits_before;

--bun:split

ALTER TABLE hit_totals RENAME TO hit_totals_before;

--bun:split

-- One fetch of a pixel or one followed link. The id begins with the minute of at.
-- Number 0: of nobody, since the campaign counts totals only. There is no other
-- index: each would cost a page for each hit. Those of a person are found by
-- their deliveries.
CREATE TABLE hits (
    id           INTEGER NOT NULL,
    campaign_id  INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    recipient_id INTEGER NOT NULL,
    kind         TEXT   NOT NULL,
    link         INTEGER NOT NULL,
    network      TEXT   NOT NULL,
    region       TEXT   NOT NULL,
    agent        TEXT   NOT NULL,
    place        TEXT   NOT NULL,
    burst2       INTEGER NOT NULL,
    burst10      INTEGER NOT NULL,
    class        TEXT   NOT NULL,
    rule         TEXT   NOT NULL,
    rules        INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, number, id)
) WITHOUT ROWID;

--bun:split

-- When a click was, to the second: only as long as it may be part of a burst.
CREATE TABLE hit_moments (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL
);

--bun:split

-- What hits add up to. facet: all, class, hour, link, region, or rules, which
-- counts the hits that are stored by the version that they were classed with.
-- who: people or machines. people: deliveries, each once for a value.
CREATE TABLE hit_counts (
    campaign_id INTEGER NOT NULL,
    kind        TEXT   NOT NULL,
    facet       TEXT   NOT NULL,
    value       TEXT   NOT NULL,
    who         TEXT   NOT NULL,
    hits        INTEGER NOT NULL,
    people      INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, kind, facet, value, who)
) WITHOUT ROWID;

--bun:split

-- What was recorded before is not classed yet: class '' counts nowhere until it is, and
-- then as it did. 26297280 is the minute at which 2020 began. No mail has more than 200.
INSERT INTO hits (id, campaign_id, number, recipient_id, kind, link, network, region, agent, place, burst2, burst10, class, rule, rules, at)
SELECT ((at / 60000000 - 26297280) << 39) + n, campaign_id, number, recipient_id, kind, link, network, '', 'before', '', 0, 0, '', '', 0, at
FROM (SELECT id, campaign_id, number, recipient_id, kind, link, network, at, row_number() OVER (PARTITION BY campaign_id, number ORDER BY at, id) AS n FROM hits_before) AS h
WHERE n <= 200;

--bun:split

INSERT INTO hit_counts (campaign_id, kind, facet, value, who, hits, people)
SELECT campaign_id, kind, 'rules', '0', 'machines', count(*), 0 FROM hits GROUP BY campaign_id, kind;

--bun:split

INSERT INTO hit_counts (campaign_id, kind, facet, value, who, hits, people)
SELECT campaign_id, kind, CASE WHEN link = 0 THEN 'all' ELSE 'link' END, CASE WHEN link = 0 THEN '' ELSE CAST(link AS TEXT) END, 'people', hits, people FROM hit_totals_before;

--bun:split

DROP TABLE hits_before;

--bun:split

DROP TABLE hit_totals_before;

--bun:split

CREATE INDEX hit_moments_by_time ON hit_moments (at);

--bun:split

CREATE INDEX hit_counts_by_rules ON hit_counts (campaign_id) WHERE facet = 'rules' AND hits > 0;
