-- What may be asked of providers. One row for each is its bucket: the moment at which everything that
-- was let in is worked off, for requests and for tokens (GCRA). Nothing has to be given back after a
-- crash: time passes.

-- Take a moment for a call: the earliest at which the provider's limits let it in. Of a minute's limit
-- a twentieth may come at once, the rest evenly; so no minute has more than the limit. NULL limits: none.
-- Returns the seconds until then and whether the moment is ours. It is not when it is further away than
-- `patience` (NULL: any time is good). What is further away than `near` is remembered for the next
-- attempt, which asks again under the same invocation and name, and finds it.
CREATE OR REPLACE FUNCTION take_slot(
    p bigint, host text, invocation bigint, call text, requests float8, tokens float8,
    requests_per_minute float8, tokens_per_minute float8, patience float8, near float8,
    OUT wait float8, OUT ours boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    burst interval := interval '60 seconds' / 19;  -- a twentieth of a limit, at nineteen twentieths of it
    request_costs interval := coalesce(make_interval(secs => requests * 60 / (0.95 * requests_per_minute)), '0');
    token_costs interval := coalesce(make_interval(secs => tokens * 60 / (0.95 * tokens_per_minute)), '0');
    x provider;
    t timestamptz;
    had timestamptz;
    earliest timestamptz;
    due timestamptz;
BEGIN
    INSERT INTO provider (provider, name) VALUES (p, host) ON CONFLICT DO NOTHING;
    SELECT * INTO x FROM provider v WHERE v.provider = p FOR UPDATE;
    t := clock_timestamp();
    earliest := greatest(t, x.paused_until);
    SELECT s.at INTO had FROM slot s
    WHERE s.id = invocation AND s.name = call AND s.provider = p AND s.at >= x.paused_until;
    IF had <= t THEN
        DELETE FROM slot s WHERE s.id = invocation AND s.name = call;
        wait := 0;
        ours := true;
        RETURN;
    ELSIF had IS NOT NULL THEN
        due := had;
    ELSE
        due := greatest(earliest,
            CASE WHEN requests_per_minute IS NOT NULL
                 THEN x.requests_at - greatest(burst - request_costs, '0') END,
            CASE WHEN tokens_per_minute IS NOT NULL
                 THEN x.tokens_at - greatest(burst - token_costs, '0') END);
    END IF;
    wait := extract(epoch FROM due - t);
    ours := wait = 0 OR wait <= coalesce(patience, wait);
    IF ours AND had IS NULL THEN
        UPDATE provider v SET requests_at = greatest(v.requests_at, earliest) + request_costs,
                              tokens_at = greatest(v.tokens_at, earliest) + token_costs
        WHERE v.provider = p;
        IF wait > near THEN
            INSERT INTO slot AS s (id, name, provider, at) VALUES (invocation, call, p, due)
            ON CONFLICT (id, name) DO UPDATE SET provider = excluded.provider, at = excluded.at;
        END IF;
    END IF;
END $$;

-- Ask nothing of a provider for a while; every worker is told. What waited for a moment before the end
-- of it has to take another one.
CREATE OR REPLACE FUNCTION pause_provider(p bigint, host text, seconds float8)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
    INSERT INTO provider AS v (provider, name, paused_until) VALUES (p, host, until)
    ON CONFLICT (provider) DO UPDATE SET paused_until = greatest(v.paused_until, excluded.paused_until);
    PERFORM pg_notify('nexus_wake', format('paused:%s:%s', p, seconds));
END $$;
