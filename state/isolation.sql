-- Who sees what. The engine's role sees every shop's work (its policies say so explicitly); the
-- role of handlers and pages sees the shop named in app.tenant, and nothing without one.
-- Applied again whenever it changes; every statement may run twice.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['function', 'worker', 'invocation', 'once', 'work', 'lane', 'outcome',
                                'failure', 'step', 'cancellation', 'schedule', 'alert', 'change',
                                'watcher', 'shop', 'credential', 'session', 'audit_log'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('DROP POLICY IF EXISTS engine ON %I', name);
        EXECUTE format('CREATE POLICY engine ON %I TO nexus_engine USING (true) WITH CHECK (true)',
                       name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['shop', 'alert', 'change', 'credential'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS own ON %I', name);
        EXECUTE format(
            'CREATE POLICY own ON %I TO nexus_app
             USING (tenant = NULLIF(current_setting(''app.tenant'', true), '''')::int)
             WITH CHECK (tenant = NULLIF(current_setting(''app.tenant'', true), '''')::int)', name);
    END LOOP;
    -- Whoever writes a change has to see whether anybody watches.
    DROP POLICY IF EXISTS seen ON watcher;
    CREATE POLICY seen ON watcher FOR SELECT TO nexus_app USING (true);
END $$;

GRANT USAGE ON SCHEMA public TO nexus_engine, nexus_app;
GRANT USAGE ON SEQUENCE invocation_id TO nexus_engine;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    function, worker, invocation, once, work, lane, outcome, failure, step, cancellation, schedule,
    alert, change, watcher, shop, credential, session TO nexus_engine;
GRANT SELECT, INSERT ON audit_log TO nexus_engine;
GRANT SELECT ON shop, alert, watcher TO nexus_app;
GRANT SELECT, INSERT ON change TO nexus_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON credential TO nexus_app;
