-- Who sees what. The engine's role sees every shop's work (its policies say so explicitly); the
-- role of handlers and pages sees the shop named in app.tenant, and nothing without one.
-- Applied again whenever it changes; every statement may run twice.
--
-- A policy is made where it is not yet as this file says: its comment has the hash of how it was
-- made. Making one locks its table, and whoever locks many busy tables one after another gets into
-- a circle with the workers that run meanwhile.

DO $$
DECLARE
    name text;
    one text[];
    wanted text[][] := '{}';            -- table, policy, how it is made
BEGIN
    FOREACH name IN ARRAY ARRAY['function', 'worker', 'invocation', 'once', 'work', 'lane', 'outcome',
                                'failure', 'step', 'cancellation', 'schedule', 'alert', 'change',
                                'watcher', 'shop', 'credential', 'session', 'audit_log', 'app',
                                'delivery', 'oddity', 'channel', 'contact', 'contact_alias',
                                'conversation', 'message', 'send_attempt', 'intake_clock',
                                'status_watermark', 'agent', 'turn', 'stored_file', 'source',
                                'passage', 'product', 'variant', 'domain', 'edge', 'scaling',
                                'service', 'backup', 'restoration', 'chunk', 'child',
                                'descent', 'joined', 'surgery', 'rate', 'rate_slot', 'gate',
                                'permit', 'budget', 'reservation', 'provider', 'slot'] LOOP
        IF NOT (SELECT relrowsecurity AND relforcerowsecurity FROM pg_class
                WHERE oid = format('%I', name)::regclass) THEN
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
            EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        END IF;
        wanted := wanted || ARRAY[[name, 'engine', 'TO nexus_engine USING (true) WITH CHECK (true)']];
    END LOOP;
    FOREACH name IN ARRAY ARRAY['shop', 'alert', 'change', 'credential', 'oddity', 'channel',
                                'contact', 'contact_alias', 'conversation', 'message',
                                'send_attempt', 'status_watermark', 'agent', 'turn', 'stored_file',
                                'source', 'passage', 'product', 'variant', 'domain'] LOOP
        wanted := wanted || ARRAY[[name, 'own',
            'TO nexus_app
             USING (tenant = NULLIF(current_setting(''app.tenant'', true), '''')::int)
             WITH CHECK (tenant = NULLIF(current_setting(''app.tenant'', true), '''')::int)']];
    END LOOP;
    -- Whoever writes a change has to see whether anybody watches; a send, whether statuses could
    -- reach us; and whoever takes messages in, until when others may have answered them.
    FOREACH name IN ARRAY ARRAY['watcher', 'intake_clock', 'restoration'] LOOP
        wanted := wanted || ARRAY[[name, 'seen', 'FOR SELECT TO nexus_app USING (true)']];
    END LOOP;
    -- The installation (tenant 0) receives for all: it reads deliveries and looks up whose they are.
    FOREACH name IN ARRAY ARRAY['app', 'delivery', 'channel'] LOOP
        wanted := wanted || ARRAY[[name, 'routing',
            'FOR SELECT TO nexus_app USING (current_setting(''app.tenant'', true) = ''0'')']];
    END LOOP;
    -- And it opens shops.
    wanted := wanted || ARRAY[['shop', 'opening',
        'TO nexus_app USING (current_setting(''app.tenant'', true) = ''0'')
         WITH CHECK (current_setting(''app.tenant'', true) = ''0'')']];

    FOREACH one SLICE 1 IN ARRAY wanted LOOP
        IF md5(one[3]) IS DISTINCT FROM (
               SELECT obj_description(oid, 'pg_policy') FROM pg_policy
               WHERE polrelid = format('%I', one[1])::regclass AND polname = one[2]) THEN
            EXECUTE format('DROP POLICY IF EXISTS %I ON %I', one[2], one[1]);
            EXECUTE format('CREATE POLICY %I ON %I %s', one[2], one[1], one[3]);
            EXECUTE format('COMMENT ON POLICY %I ON %I IS %L', one[2], one[1], md5(one[3]));
        END IF;
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA public TO nexus_engine, nexus_app;
GRANT USAGE ON SEQUENCE invocation_id TO nexus_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    function, worker, invocation, once, work, lane, outcome, failure, step, cancellation, schedule,
    alert, change, watcher, shop, credential, session, app, delivery, oddity, channel, contact,
    contact_alias, conversation, message, send_attempt, intake_clock, status_watermark, agent, turn,
    stored_file, source, passage, product, variant, domain, edge, scaling, service, backup,
    restoration, chunk, child, descent, joined, surgery, rate, rate_slot, gate, permit, budget,
    reservation, provider, slot TO nexus_engine;
GRANT SELECT, INSERT ON audit_log TO nexus_engine;
GRANT SELECT, INSERT, UPDATE ON shop TO nexus_app;
GRANT SELECT ON watcher, app, delivery, intake_clock, restoration TO nexus_app;
GRANT SELECT, INSERT ON change, alert TO nexus_app;
GRANT UPDATE (resolved_at, resolved_by) ON alert TO nexus_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    oddity, channel, contact, contact_alias, conversation, message, send_attempt, status_watermark,
    agent, turn, stored_file, source, passage, product, variant, domain TO nexus_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON credential TO nexus_app;
