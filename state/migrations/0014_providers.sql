-- Providers: how much may be asked of somebody outside, and how long they want nothing to be asked.

CREATE UNLOGGED TABLE provider (          -- an address under one key
    provider bigint PRIMARY KEY,        -- a hash of both; no key can be read from it
    name text NOT NULL,                 -- its host, for people
    requests_at timestamptz NOT NULL DEFAULT '-infinity',  -- when the last request let in is worked off
    tokens_at timestamptz NOT NULL DEFAULT '-infinity',    -- the same of tokens
    paused_until timestamptz NOT NULL DEFAULT '-infinity'
);

CREATE UNLOGGED TABLE slot (              -- calls that wait for a provider, each for its own moment
    id bigint NOT NULL,                 -- the invocation
    name text NOT NULL,                 -- of the call within it
    provider bigint NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (id, name)
);
