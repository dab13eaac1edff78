-- What retention goes through. Deliveries, notices and attempts get none, since
-- every outcome would be written to it too: retention goes by their keys.
CREATE INDEX sign_ups_confirmed ON sign_ups (confirmed_at) WHERE confirmed_at > 0;

--bun:split

CREATE INDEX requests_ended ON requests (created_at) WHERE state <> 'open';

--bun:split

CREATE INDEX notice_calls_answered ON notice_calls (created_at) WHERE forgotten = 1 AND (answer <> '' OR idempotency <> '');

--bun:split

CREATE INDEX webhook_messages_dead_since ON webhook_messages (created_at) WHERE state = 'dead';

--bun:split

-- What an erasure looks for.
CREATE INDEX webhook_messages_by_notice ON webhook_messages (json_extract(data, '$.notice'));

--bun:split

-- What the audit log is searched by.
CREATE INDEX audit_by_action ON audit (action, id);

--bun:split

CREATE INDEX audit_by_actor ON audit (actor, id);

--bun:split

CREATE INDEX audit_by_time ON audit (at, id);
