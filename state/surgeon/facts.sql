-- The schema as rows of text: (kind, place, name, says).
-- place is the table (or '' for what stands alone); says is what Postgres says of it, so that two
-- schemas are equal when their rows are. Names are quoted where SQL asks for it. Objects of
-- extensions are left out. Postgres 15, 16 and 18 say the same of our schema, letter for letter.
WITH space AS (
    SELECT oid, nspname FROM pg_namespace WHERE nspname = current_schema()
), relation AS (
    SELECT c.oid, quote_ident(c.relname) AS relname, c.relkind, c.relpersistence, c.reloptions, c.relrowsecurity,
           c.relforcerowsecurity
    FROM pg_class c JOIN space ON c.relnamespace = space.oid
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype IN ('e', 'i'))
), t AS (
    SELECT * FROM relation WHERE relkind IN ('r', 'p')
), routine AS (
    SELECT p.*, format('%I(%s)', p.proname, pg_get_function_identity_arguments(p.oid)) AS signature
    FROM pg_proc p JOIN space ON p.pronamespace = space.oid
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                      AND d.objid = p.oid AND d.deptype = 'e')
), ours AS (
    SELECT oid, rolname, rolsuper, rolbypassrls, rolcanlogin FROM pg_roles
    WHERE rolname IN ('nexus_engine', 'nexus_app')
), fact (kind, place, name, says, rank) AS (
    SELECT 'role', '', rolname::text, concat_ws(' ', CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
           CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END), 0
    FROM ours
    UNION ALL
    SELECT 'member', '', rolname, '', 0 FROM ours WHERE pg_has_role(current_user, oid, 'USAGE')
    UNION ALL
    SELECT 'sequence', '', r.relname, concat_ws(' ', 'AS', format_type(s.seqtypid, NULL),
           'INCREMENT', s.seqincrement, 'MINVALUE', s.seqmin, 'MAXVALUE', s.seqmax,
           'START', s.seqstart, 'CACHE', s.seqcache, CASE WHEN s.seqcycle THEN 'CYCLE' ELSE 'NO CYCLE' END), 0
    FROM relation r JOIN pg_sequence s ON s.seqrelid = r.oid
    UNION ALL
    SELECT 'table', '', relname,
           CASE relpersistence WHEN 'u' THEN 'UNLOGGED' ELSE 'LOGGED' END, 0
    FROM t
    UNION ALL
    SELECT 'option', t.relname, o.option_name, o.option_value, 0
    FROM t, pg_options_to_table(t.reloptions) o
    UNION ALL
    SELECT 'row security', relname, 'ENABLE', '', 0 FROM t WHERE relrowsecurity
    UNION ALL
    SELECT 'row security', relname, 'FORCE', '', 0 FROM t WHERE relforcerowsecurity
    UNION ALL
    SELECT part.kind, t.relname, quote_ident(a.attname), part.says, a.attnum
    FROM t
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = a.attnum
    CROSS JOIN LATERAL (VALUES
        ('column', format_type(a.atttypid, a.atttypmod)),
        ('not null', CASE WHEN a.attnotnull THEN '' END),
        ('identity', CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END),
        ('default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END),
        ('generated', CASE WHEN a.attgenerated = 's' THEN pg_get_expr(d.adbin, d.adrelid) END)
    ) part (kind, says)
    WHERE part.says IS NOT NULL
    UNION ALL
    SELECT CASE c.contype WHEN 'c' THEN 'check' WHEN 'f' THEN 'reference' ELSE 'key' END,
           t.relname, quote_ident(c.conname), pg_get_constraintdef(c.oid), 0
    FROM pg_constraint c JOIN t ON c.conrelid = t.oid
    WHERE c.contype IN ('c', 'f', 'p', 'u', 'x')  -- NOT NULL is a constraint only since 18
    UNION ALL
    SELECT 'index', t.relname, r.relname,
           replace(pg_get_indexdef(i.indexrelid), format(' ON %I.', space.nspname), ' ON ')
           || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END, 0
    FROM pg_index i JOIN t ON i.indrelid = t.oid JOIN relation r ON r.oid = i.indexrelid, space
    WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid
                      AND c.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 'trigger', t.relname, quote_ident(g.tgname),
           replace(replace(pg_get_triggerdef(g.oid), format(' ON %I.', space.nspname), ' ON '),
                   format(' FUNCTION %I.', space.nspname), ' FUNCTION ')
           || CASE WHEN g.tgenabled = 'D' THEN ' DISABLED' ELSE '' END, 0
    FROM pg_trigger g JOIN t ON g.tgrelid = t.oid, space WHERE NOT g.tgisinternal
    UNION ALL
    SELECT 'rule', t.relname, quote_ident(r.rulename), pg_get_ruledef(r.oid), 0
    FROM pg_rewrite r JOIN t ON r.ev_class = t.oid
    UNION ALL
    SELECT 'function', '', p.signature, concat_ws(' ', pg_get_function_result(p.oid), l.lanname,
           p.provolatile, p.proparallel, CASE WHEN p.proisstrict THEN 'strict' END,
           CASE WHEN p.prosecdef THEN 'definer' END, p.proconfig, md5(p.prosrc)), 0
    FROM routine p JOIN pg_language l ON l.oid = p.prolang
    UNION ALL
    SELECT 'policy', t.relname, quote_ident(p.polname), concat_ws(' ',
           CASE WHEN p.polpermissive THEN 'AS PERMISSIVE' ELSE 'AS RESTRICTIVE' END,
           'FOR', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                  WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
           'TO', (SELECT string_agg(coalesce(quote_ident(r.rolname), 'PUBLIC'), ', ' ORDER BY r.rolname)
                  FROM unnest(p.polroles) u (role) LEFT JOIN pg_roles r ON r.oid = u.role),
           'USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
           'WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'), 0
    FROM pg_policy p JOIN t ON p.polrelid = t.oid
    UNION ALL  -- what each role may do, however it came to it
    SELECT 'grant', may.object, ours.rolname || ' ' || may.word, '', 0
    FROM ours CROSS JOIN LATERAL (
        SELECT 'SCHEMA ' || quote_ident(nspname), 'USAGE' FROM space
        WHERE has_schema_privilege(ours.oid, space.oid, 'USAGE')
        UNION ALL
        SELECT 'SEQUENCE ' || r.relname, w.word
        FROM relation r, unnest('{SELECT,UPDATE,USAGE}'::text[]) w (word)
        WHERE r.relkind = 'S' AND has_sequence_privilege(ours.oid, r.oid, w.word)
        UNION ALL
        SELECT 'TABLE ' || t.relname, w.word
        FROM t, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) w (word)
        WHERE has_table_privilege(ours.oid, t.oid, w.word)
        UNION ALL
        SELECT 'FUNCTION ' || p.signature, 'EXECUTE'
        FROM routine p WHERE has_function_privilege(ours.oid, p.oid, 'EXECUTE')
    ) may (object, word)
)
SELECT kind, place, name, says FROM fact ORDER BY kind, place, rank, name
