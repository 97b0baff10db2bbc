-- What shoppers wrote: who they are, in which conversation, and the messages, once each.

-- The contact that ids belong to, made if there is none. The business-scoped id tells people apart:
-- a number that comes with another one has a new owner. A number without one joins the first that
-- comes with it; so two contacts may turn out to be one, and the older one stays.
CREATE OR REPLACE FUNCTION contact_of(shop int, p text, b text, called text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    by_phone bigint;
    by_bsuid bigint;
    found_contact bigint;
BEGIN
    -- One at a time for each person: two deliveries may bring somebody new together.
    PERFORM pg_advisory_xact_lock(hashtextextended(shop || '/' || u.id, 0))
    FROM (SELECT unnest(array_remove(ARRAY[p, b], NULL)) AS id ORDER BY 1) u;
    SELECT a.contact_id INTO by_phone FROM contact_alias a
    WHERE a.tenant = shop AND a.kind = 'phone' AND a.value = p;
    SELECT a.contact_id INTO by_bsuid FROM contact_alias a
    WHERE a.tenant = shop AND a.kind = 'bsuid' AND a.value = b;

    IF by_phone IS NOT NULL AND b IS NOT NULL AND by_phone IS DISTINCT FROM by_bsuid
       AND EXISTS (SELECT FROM contact_alias a WHERE a.tenant = shop AND a.contact_id = by_phone
                   AND a.kind = 'bsuid') THEN
        DELETE FROM contact_alias WHERE tenant = shop AND kind = 'phone' AND value = p;
        by_phone := NULL;
    END IF;
    IF by_phone <> by_bsuid THEN
        found_contact := merge_contacts(shop, by_phone, by_bsuid);
    ELSE
        found_contact := coalesce(by_bsuid, by_phone);
    END IF;
    IF found_contact IS NULL THEN
        INSERT INTO contact (tenant, name) VALUES (shop, called) RETURNING contact_id INTO found_contact;
    ELSIF called IS NOT NULL THEN
        UPDATE contact SET name = called
        WHERE tenant = shop AND contact_id = found_contact AND name IS DISTINCT FROM called;
    END IF;
    INSERT INTO contact_alias (tenant, kind, value, contact_id)
    SELECT shop, u.kind, u.value, found_contact
    FROM (VALUES ('phone', p), ('bsuid', b)) u (kind, value) WHERE u.value IS NOT NULL
    ON CONFLICT (tenant, kind, value) DO NOTHING;
    RETURN found_contact;
END $$;

-- Two contacts are one person: everything goes to the older one. Returns it.
CREATE OR REPLACE FUNCTION merge_contacts(shop int, one bigint, other bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    stays bigint := least(one, other);
    goes bigint := greatest(one, other);
    pair record;
BEGIN
    PERFORM FROM conversation WHERE tenant = shop AND contact_id IN (stays, goes)
    ORDER BY conversation_id FOR UPDATE;
    FOR pair IN
        SELECT old.conversation_id AS old_id, new.* FROM conversation new
        JOIN conversation old ON old.tenant = shop AND old.contact_id = stays
                             AND old.channel_id = new.channel_id
        WHERE new.tenant = shop AND new.contact_id = goes
    LOOP
        UPDATE message SET conversation_id = pair.old_id
        WHERE tenant = shop AND conversation_id = pair.conversation_id;
        UPDATE turn SET conversation_id = pair.old_id
        WHERE tenant = shop AND conversation_id = pair.conversation_id;
        -- Whoever had one of them has the whole: a person's hold is never lost.
        UPDATE conversation SET
            window_until = greatest(window_until, pair.window_until),
            last_at = greatest(last_at, pair.last_at),
            holder = CASE WHEN pair.holder = 'person' THEN 'person' ELSE holder END,
            held_reason = coalesce(held_reason, pair.held_reason)
        WHERE tenant = shop AND conversation_id = pair.old_id;
        DELETE FROM conversation WHERE tenant = shop AND conversation_id = pair.conversation_id;
    END LOOP;
    UPDATE conversation SET contact_id = stays WHERE tenant = shop AND contact_id = goes;
    UPDATE contact_alias SET contact_id = stays WHERE tenant = shop AND contact_id = goes;
    UPDATE contact SET merged_into = stays WHERE tenant = shop AND contact_id = goes;
    UPDATE contact c SET name = coalesce(c.name, g.name),
           opted_out_at = coalesce(c.opted_out_at, g.opted_out_at)
    FROM contact g
    WHERE c.tenant = shop AND c.contact_id = stays AND g.tenant = shop AND g.contact_id = goes;
    RETURN stays;
END $$;

-- The conversation of a person on a channel, made if there is none; locked until the transaction
-- ends. Replies go to the id that was received last, a number before anything else.
CREATE OR REPLACE FUNCTION conversation_of(shop int, line int, person bigint, p text, b text)
RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO conversation AS c (tenant, channel_id, contact_id, address_kind, address)
    VALUES (shop, line, person, CASE WHEN p IS NULL THEN 'bsuid' ELSE 'phone' END, coalesce(p, b))
    ON CONFLICT (tenant, channel_id, contact_id) DO UPDATE
    SET address_kind = excluded.address_kind, address = excluded.address
    RETURNING c.conversation_id
$$;

-- A message that came again after a restore: a person looks at the conversation.
CREATE OR REPLACE FUNCTION answered_perhaps(shop int, chat bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE conversation SET holder = 'person',
        held_reason = coalesce(held_reason,
                               'written before a back-up was restored; may have been answered already')
    WHERE tenant = shop AND conversation_id = chat AND holder = 'agent';
    IF FOUND THEN
        INSERT INTO change (tenant, topic, ids) VALUES (shop, 'conversation', ARRAY[chat]);
        INSERT INTO alert (tenant, kind, subject, message) VALUES (shop, 'restored', shop,
            'Messages came that were written before a back-up was restored. They may have been'
            ' answered already, so a person has those conversations: nexus conversations.')
        ON CONFLICT (kind, subject) WHERE resolved_at IS NULL DO NOTHING;
    END IF;
END $$;

-- Store messages of shoppers (parallel arrays; `ats` NULL: no sensible time, take now). Returns one
-- row for each that is new: its place (from 1), conversation, contact, and whether it asks for an
-- answer. What was written before the end of a life that is gone, and comes after a back-up of it was
-- restored, may have been answered in that life: it is a person's.
CREATE OR REPLACE FUNCTION take_messages(
    shop int, lines int[], phones text[], bsuids text[], names text[], wamids text[], kinds text[],
    bodies text[], contents text[], ats timestamptz[], asks boolean[]
) RETURNS TABLE (place int, conversation bigint, contact bigint, asked boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    m record;
    t timestamptz := clock_timestamp();
    said timestamptz;
    person bigint;
    chat bigint;
    stored bigint;
    new_ids bigint[] := '{}';
    gone timestamptz := (SELECT max(stopped_at) FROM restoration);
BEGIN
    FOR m IN
        SELECT * FROM unnest(lines, phones, bsuids, names, wamids, kinds, bodies, contents, ats, asks)
            WITH ORDINALITY u (line, phone, bsuid, called, wamid, kind, body, content, at, asks, place)
        -- Everybody locks people in the same order; within one, the order of the delivery stays.
        ORDER BY coalesce(u.phone, u.bsuid), u.place
    LOOP
        IF EXISTS (SELECT FROM message x WHERE x.tenant = shop AND x.wamid = m.wamid) THEN
            CONTINUE;
        END IF;
        -- The provider tells whole seconds; within this one, the order of arrival is finer.
        said := CASE WHEN m.at < t - interval '1 second' THEN m.at ELSE t END;
        person := contact_of(shop, m.phone, m.bsuid, m.called);
        chat := conversation_of(shop, m.line, person, m.phone, m.bsuid);
        INSERT INTO message (tenant, conversation_id, direction, author, wamid, kind, body, content,
                             at, received_at, late, turn)
        VALUES (shop, chat, 'in', 'shopper', m.wamid, m.kind, m.body, m.content::jsonb, said, t,
                EXISTS (SELECT FROM message x WHERE x.tenant = shop AND x.conversation_id = chat
                        AND x.direction = 'in' AND x.turn > 0 AND x.at > said),
                CASE WHEN m.asks THEN NULL ELSE 0 END)
        ON CONFLICT (tenant, wamid) DO NOTHING RETURNING message_id INTO stored;
        IF stored IS NULL THEN
            CONTINUE;
        END IF;
        UPDATE conversation SET last_at = greatest(last_at, said),
               window_until = greatest(window_until, said + interval '24 hours')
        WHERE tenant = shop AND conversation_id = chat;
        IF m.asks AND said <= gone THEN
            PERFORM answered_perhaps(shop, chat);
            m.asks := false;
        END IF;
        new_ids := new_ids || stored;
        place := m.place; conversation := chat; contact := person; asked := m.asks;
        RETURN NEXT;
    END LOOP;
    IF cardinality(new_ids) > 0 THEN
        INSERT INTO change (tenant, topic, ids) VALUES (shop, 'message', new_ids);
    END IF;
END $$;

-- Store messages that the merchant typed in WhatsApp itself: a person has the conversation now.
CREATE OR REPLACE FUNCTION take_echoes(
    shop int, lines int[], phones text[], bsuids text[], names text[], wamids text[], kinds text[],
    bodies text[], contents text[], ats timestamptz[], reason text
) RETURNS int LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    m record;
    t timestamptz := clock_timestamp();
    chat bigint;
    stored bigint;
    new_ids bigint[] := '{}';
    chats bigint[] := '{}';
BEGIN
    FOR m IN
        SELECT * FROM unnest(lines, phones, bsuids, names, wamids, kinds, bodies, contents, ats)
            WITH ORDINALITY u (line, phone, bsuid, called, wamid, kind, body, content, at, place)
        ORDER BY coalesce(u.phone, u.bsuid), u.place
    LOOP
        IF EXISTS (SELECT FROM message x WHERE x.tenant = shop AND x.wamid = m.wamid) THEN
            CONTINUE;
        END IF;
        chat := conversation_of(shop, m.line, contact_of(shop, m.phone, m.bsuid, m.called),
                                m.phone, m.bsuid);
        INSERT INTO message (tenant, conversation_id, direction, author, wamid, kind, body, content,
                             at, received_at, class, state)
        VALUES (shop, chat, 'out', 'phone', m.wamid, m.kind, m.body, m.content::jsonb,
                least(coalesce(m.at, t), t), t, 'reply', 'sent')
        ON CONFLICT (tenant, wamid) DO NOTHING RETURNING message_id INTO stored;
        IF stored IS NOT NULL THEN
            UPDATE conversation SET holder = 'person', held_reason = coalesce(held_reason, reason),
                   last_at = greatest(last_at, least(coalesce(m.at, t), t))
            WHERE tenant = shop AND conversation_id = chat;
            new_ids := new_ids || stored;
            chats := chats || chat;
        END IF;
    END LOOP;
    IF cardinality(new_ids) > 0 THEN
        INSERT INTO change (tenant, topic, ids)
        VALUES (shop, 'message', new_ids), (shop, 'conversation', chats);
    END IF;
    RETURN cardinality(new_ids);
END $$;

-- A shopper changed or took back a message of their own.
CREATE OR REPLACE FUNCTION change_message(shop int, chat bigint, about text, edited boolean, said text)
RETURNS void LANGUAGE sql AS $$
    WITH changed AS (
        UPDATE message SET
            body = CASE WHEN edited THEN said ELSE body END,
            edited_at = CASE WHEN edited THEN clock_timestamp() ELSE edited_at END,
            revoked_at = CASE WHEN edited THEN revoked_at ELSE clock_timestamp() END
        WHERE tenant = shop AND conversation_id = chat AND wamid = about AND direction = 'in'
        RETURNING message_id)
    INSERT INTO change (tenant, topic, ids) SELECT shop, 'message', ARRAY[message_id] FROM changed
$$;
