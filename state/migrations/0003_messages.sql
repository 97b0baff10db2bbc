-- The way of a message: what arrives, who writes with whom, what the agent did, what is sent.

ALTER TABLE shop
    ADD COLUMN title text,                              -- as shoppers know it; NULL: its name
    ADD COLUMN language text NOT NULL DEFAULT 'es' CHECK (language IN ('es', 'pt', 'en')),
    ADD COLUMN currency text NOT NULL DEFAULT 'ARS' CHECK (currency ~ '^[A-Z]{3}$'),
    ADD COLUMN zone text NOT NULL DEFAULT 'America/Argentina/Buenos_Aires',
    ADD COLUMN hours text;                              -- state/rules/hours.py; NULL: always open

CREATE TABLE app (                      -- a registration with a provider; one serves many shops
    app_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),  -- in its webhook's address
    provider text NOT NULL,             -- the path of its Webhook trigger, e.g. whatsapp
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE delivery (                 -- what a provider posted, byte for byte; kept 30 days
    delivery_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app text NOT NULL,
    body bytea NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX delivery_age ON delivery USING brin (received_at);

CREATE TABLE oddity (                   -- a part of a delivery that nobody could take: for people
    oddity_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL,                -- 0: no shop is known for it
    delivery_id bigint NOT NULL,
    place text NOT NULL,                -- e.g. entry[0].changes[1].value.messages[2]
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (tenant, delivery_id, place)
);

CREATE TABLE channel (                  -- a WhatsApp number of a shop, or its simulated phone
    channel_id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL REFERENCES shop,
    kind text NOT NULL CHECK (kind IN ('cloud_api', 'sandbox')),
    app text NOT NULL,                  -- the registration its webhooks come from; or 'sandbox'
    address text NOT NULL,              -- cloud_api: phone_number_id; sandbox: the shop's name
    display text NOT NULL,              -- the number as people write it
    agent boolean NOT NULL DEFAULT true,    -- whether the agent answers here
    quiet_seconds float8 NOT NULL DEFAULT 3.5 CHECK (quiet_seconds BETWEEN 0 AND 20),
    stopped text,                       -- why nothing is sent, in words; NULL: it sends
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (app, address)
);
CREATE INDEX channel_shop ON channel (tenant);

CREATE TABLE contact (                  -- a shopper; numbers and ids are aliases
    contact_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL REFERENCES shop,
    name text,
    opted_out_at timestamptz,           -- wants no marketing
    merged_into bigint,                 -- two turned out to be one person
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE contact_alias (
    tenant int NOT NULL,
    kind text NOT NULL CHECK (kind IN ('phone', 'bsuid')),
    value text NOT NULL,
    contact_id bigint NOT NULL REFERENCES contact,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant, kind, value)
);
CREATE INDEX contact_alias_contact ON contact_alias (contact_id);

CREATE TABLE conversation (             -- one per channel and contact
    conversation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL REFERENCES shop,
    channel_id int NOT NULL REFERENCES channel,
    contact_id bigint NOT NULL REFERENCES contact,
    address_kind text NOT NULL CHECK (address_kind IN ('phone', 'bsuid')),
    address text NOT NULL,              -- where replies go: the id that we received last
    holder text NOT NULL DEFAULT 'agent' CHECK (holder IN ('agent', 'person')),
    held_reason text,                   -- why a person has it
    window_until timestamptz,           -- free text may be sent until then; NULL: nobody wrote yet
    last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (tenant, channel_id, contact_id)
);
CREATE INDEX conversation_recent ON conversation (tenant, last_at DESC);

CREATE TABLE message (
    message_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL,
    conversation_id bigint NOT NULL REFERENCES conversation,
    direction text NOT NULL CHECK (direction IN ('in', 'out')),
    author text NOT NULL CHECK (author IN ('shopper', 'agent', 'person', 'phone')),
                                        -- phone: typed in the merchant's own WhatsApp
    wamid text,                         -- out: NULL until the provider accepted it
    kind text NOT NULL,                 -- text, image, … as the provider names it
    body text,                          -- what a person reads: text, caption, title; NULL: nothing
    content jsonb NOT NULL,             -- in: the provider's object; out: what is to be sent
    at timestamptz NOT NULL,            -- in: the provider's time; out: when it was written
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    late boolean NOT NULL DEFAULT false,    -- in: older than something already answered
    edited_at timestamptz,
    revoked_at timestamptz,
    turn bigint,                        -- in: who dealt with it (invocation; 0: asks for no answer;
                                        -- NULL: not yet); out: the invocation that wrote it
    cause_key text,                     -- out: one message per cause, for ever
    class text CHECK (class IN ('reply', 'notice', 'marketing')),
    state text CHECK (state IN ('pending', 'sending', 'accepted', 'sent', 'delivered', 'read',
                                'failed', 'unknown', 'withheld')),
    problem text,                       -- why it failed or was withheld, in words
    UNIQUE (tenant, wamid),
    UNIQUE (tenant, cause_key),
    CHECK ((direction = 'out') = (state IS NOT NULL AND class IS NOT NULL))
);
CREATE INDEX message_thread ON message (conversation_id, at, message_id);
CREATE INDEX message_unanswered ON message (conversation_id) WHERE direction = 'in' AND turn IS NULL;

CREATE TABLE send_attempt (             -- one POST of an outgoing message
    attempt_id uuid PRIMARY KEY,
    tenant int NOT NULL,
    message_id bigint NOT NULL REFERENCES message,
    epoch bigint NOT NULL,
    state text NOT NULL DEFAULT 'intent'
        CHECK (state IN ('intent', 'accepted', 'rejected', 'absent')),
    wamid text,
    ticks bigint NOT NULL,              -- of the intake clock when it began
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_at timestamptz,
    decided_by text CHECK (decided_by IN ('response', 'status', 'timeout', 'operator')),
    http_status int,
    provider_code int
);
CREATE UNIQUE INDEX send_attempt_one ON send_attempt (message_id)
    WHERE state IN ('intent', 'accepted');
CREATE INDEX send_attempt_message ON send_attempt (message_id);
CREATE INDEX send_attempt_open ON send_attempt (started_at) WHERE state = 'intent';

CREATE TABLE intake_clock (             -- seconds during which statuses could reach us
    id int PRIMARY KEY CHECK (id = 1),
    ticks bigint NOT NULL,
    at timestamptz NOT NULL,
    gap_at timestamptz                  -- when it last came back after standing still
);
INSERT INTO intake_clock VALUES (1, 0, clock_timestamp(), NULL);

CREATE TABLE status_watermark (         -- statuses do arrive for sends as young as this
    tenant int NOT NULL,
    channel_id int NOT NULL PRIMARY KEY,
    seen_for timestamptz NOT NULL
);

CREATE TABLE agent (                    -- how a shop's agent works; no row: as the defaults say
    tenant int PRIMARY KEY REFERENCES shop,
    name text,
    instructions text,                  -- the shop's own words, added to ours
    model text,                         -- NULL: OPENAI_MODEL
    rounds int NOT NULL DEFAULT 6 CHECK (rounds BETWEEN 1 AND 20),
    seconds int NOT NULL DEFAULT 60 CHECK (seconds BETWEEN 5 AND 280),
    tokens int NOT NULL DEFAULT 40000,  -- of one turn, in and out
    tokens_per_day bigint NOT NULL DEFAULT 5000000
);

CREATE TABLE turn (                     -- one run of the agent that had something to answer
    turn_id bigint PRIMARY KEY,         -- the invocation
    tenant int NOT NULL,
    conversation_id bigint NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('replied', 'handed_over', 'silent', 'failed')),
    reason text,                        -- in words
    model text,
    rounds int NOT NULL DEFAULT 0,
    input_tokens int NOT NULL DEFAULT 0,
    output_tokens int NOT NULL DEFAULT 0,
    trace jsonb NOT NULL DEFAULT '[]'   -- what it did: recalls, tools, checks, in order
);
CREATE INDEX turn_of ON turn (conversation_id, turn_id);
CREATE INDEX turn_day ON turn (tenant, started_at);

-- Knowledge: files as they were given, what was read from them, and the catalogue.

CREATE TABLE stored_file (
    file_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL REFERENCES shop,
    name text NOT NULL,
    media_type text NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE source (                   -- a document or a catalogue, by its file's name
    source_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL REFERENCES shop,
    kind text NOT NULL CHECK (kind IN ('document', 'catalogue')),
    name text NOT NULL,
    file_id bigint NOT NULL REFERENCES stored_file,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'reading', 'ready', 'failed')),
    problem text,                       -- why it failed, and what to do
    done int NOT NULL DEFAULT 0,
    total int,                          -- NULL: not known yet
    refused jsonb NOT NULL DEFAULT '[]',    -- [{"line": 12, "problem": "…"}]
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (tenant, kind, name)
);

-- Words of a text in es, pt and en together; accents are stripped before, on both sides.
CREATE FUNCTION folded(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT AS $$
    SELECT translate(lower(value),
        'áàâãäåéèêëíìîïóòôõöúùûüñçý', 'aaaaaaeeeeiiiiooooouuuuncy')
$$;
CREATE FUNCTION words_of(title text, body text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT setweight(to_tsvector('pg_catalog.spanish', folded(coalesce(title, ''))), 'A')
        || setweight(to_tsvector('pg_catalog.portuguese', folded(coalesce(title, ''))), 'A')
        || setweight(to_tsvector('pg_catalog.english', folded(coalesce(title, ''))), 'A')
        || setweight(to_tsvector('pg_catalog.spanish', folded(coalesce(body, ''))), 'C')
        || setweight(to_tsvector('pg_catalog.portuguese', folded(coalesce(body, ''))), 'C')
        || setweight(to_tsvector('pg_catalog.english', folded(coalesce(body, ''))), 'C')
$$;

CREATE TABLE passage (                  -- a piece of a document
    passage_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL,
    source_id bigint NOT NULL REFERENCES source,
    place int NOT NULL,                 -- its order in the document
    title text NOT NULL,                -- headings above it
    body text NOT NULL,
    space text,                         -- the embedding it is in Chroma with; NULL: it is not
    words tsvector GENERATED ALWAYS AS (words_of(title, body)) STORED,
    UNIQUE (tenant, source_id, place)
);
CREATE INDEX passage_words ON passage USING gin (words);

CREATE TABLE product (
    product_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL REFERENCES shop,
    source_id bigint REFERENCES source,
    handle text NOT NULL,               -- "Identificador de URL"
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    categories text NOT NULL DEFAULT '',
    tags text NOT NULL DEFAULT '',
    brand text NOT NULL DEFAULT '',
    url text,
    published boolean NOT NULL DEFAULT true,
    space text,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    words tsvector GENERATED ALWAYS AS (
        words_of(name || ' ' || brand, categories || ' ' || tags || ' ' || description)) STORED,
    UNIQUE (tenant, handle)
);
CREATE INDEX product_words ON product USING gin (words);

CREATE TABLE variant (
    variant_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant int NOT NULL,
    product_id bigint NOT NULL REFERENCES product ON DELETE CASCADE,
    place int NOT NULL,
    options jsonb NOT NULL DEFAULT '{}',    -- {"Talle": "38", "Color": "Negro"}
    sku text,
    price_cents bigint,                 -- NULL: on request
    offer_cents bigint,                 -- promotional price; NULL: none
    stock int,                          -- NULL: not counted
    UNIQUE (product_id, place)
);
