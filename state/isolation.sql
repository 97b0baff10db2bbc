-- Who sees what. The engine's role sees every shop's work (its policies say so explicitly); the
-- role of handlers and pages sees the shop named in app.tenant, and nothing without one.
-- Applied again whenever it changes; every statement may run twice.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['function', 'worker', 'invocation', 'once', 'work', 'lane', 'outcome',
                                'failure', 'step', 'cancellation', 'schedule', 'alert', 'change',
                                'watcher', 'shop', 'credential', 'session', 'audit_log', 'app',
                                'delivery', 'oddity', 'channel', 'contact', 'contact_alias',
                                'conversation', 'message', 'send_attempt', 'intake_clock',
                                'status_watermark', 'agent', 'turn', 'stored_file', 'source',
                                'passage', 'product', 'variant', 'domain', 'edge', 'scaling',
                                'service'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', name);
        EXECUTE format('CREATE POLICY engine ON %I TO nexus_engine USING (true) WITH CHECK (true)',
                       name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['shop', 'alert', 'change', 'credential', 'oddity', 'channel',
                                'contact', 'contact_alias', 'conversation', 'message',
                                'send_attempt', 'status_watermark', 'agent', 'turn', 'stored_file',
                                'source', 'passage', 'product', 'variant', 'domain'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS own ON %I', name);
        EXECUTE format(
            'CREATE POLICY own ON %I TO nexus_app
             USING (tenant = NULLIF(current_setting(''app.tenant'', true), '''')::int)
             WITH CHECK (tenant = NULLIF(current_setting(''app.tenant'', true), '''')::int)', name);
    END LOOP;
    -- Whoever writes a change has to see whether anybody watches.
    DROP POLICY IF EXISTS seen ON watcher;
    CREATE POLICY seen ON watcher FOR SELECT TO nexus_app USING (true);
    DROP POLICY IF EXISTS seen ON intake_clock;
    CREATE POLICY seen ON intake_clock FOR SELECT TO nexus_app USING (true);
    -- The installation (tenant 0) receives for all: it reads deliveries and looks up whose they are.
    FOREACH name IN ARRAY ARRAY['app', 'delivery', 'channel'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS routing ON %I', name);
        EXECUTE format('CREATE POLICY routing ON %I FOR SELECT TO nexus_app
                        USING (current_setting(''app.tenant'', true) = ''0'')', name);
    END LOOP;
    -- And it opens shops.
    DROP POLICY IF EXISTS opening ON shop;
    CREATE POLICY opening ON shop TO nexus_app
        USING (current_setting('app.tenant', true) = '0')
        WITH CHECK (current_setting('app.tenant', true) = '0');
END $$;

GRANT USAGE ON SCHEMA public TO nexus_engine, nexus_app;
GRANT USAGE ON SEQUENCE invocation_id TO nexus_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    function, worker, invocation, once, work, lane, outcome, failure, step, cancellation, schedule,
    alert, change, watcher, shop, credential, session, app, delivery, oddity, channel, contact,
    contact_alias, conversation, message, send_attempt, intake_clock, status_watermark, agent, turn,
    stored_file, source, passage, product, variant, domain, edge, scaling, service TO nexus_engine;
GRANT SELECT, INSERT ON audit_log TO nexus_engine;
GRANT SELECT, INSERT, UPDATE ON shop TO nexus_app;
GRANT SELECT ON watcher, app, delivery, intake_clock TO nexus_app;
GRANT SELECT, INSERT ON change, alert TO nexus_app;
GRANT UPDATE (resolved_at, resolved_by) ON alert TO nexus_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    oddity, channel, contact, contact_alias, conversation, message, send_attempt, status_watermark,
    agent, turn, stored_file, source, passage, product, variant, domain TO nexus_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON credential TO nexus_app;
