-- What single opens and clicks are added to when they have been kept long enough.
-- link 0: the whole of the kind.
CREATE TABLE hit_totals (
    campaign_id INTEGER NOT NULL,
    kind        TEXT   NOT NULL,
    link        INTEGER NOT NULL,
    hits        INTEGER NOT NULL,
    people      INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, kind, link)
);

--bun:split

CREATE INDEX hits_by_time ON hits (at);

--bun:split

-- An answer of a mail server may name an address; the codes tell enough.
UPDATE suppressions SET evidence = '' WHERE reason = 'hard_bounce';
