-- A question as a search for any of its words, in es, pt and en together. NULL-safe; a question of
-- stop words alone finds nothing.
CREATE OR REPLACE FUNCTION any_words(question text) RETURNS tsquery
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(string_agg(quote_literal(word), '|')::tsquery, ''::tsquery)
    FROM (SELECT DISTINCT unnest(tsvector_to_array(words_of(NULL, question))) AS word) u
$$;
