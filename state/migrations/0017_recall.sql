-- Recall asks of a whole shop whether rows wait for their vectors: that has to cost no scan.
CREATE INDEX product_space ON product (tenant, space);
CREATE INDEX passage_space ON passage (tenant, space);

-- Without its accents "devoluções" is no plural to Portuguese's stemmer; it is made the singular
-- before. (No Spanish or English word is touched: each language has its own stems.)
CREATE OR REPLACE FUNCTION words_of(title text, body text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT setweight(to_tsvector('pg_catalog.spanish', folded(coalesce(title, ''))), 'A')
        || setweight(to_tsvector('pg_catalog.portuguese',
                                 regexp_replace(folded(coalesce(title, '')), 'oes\M', 'ao', 'g')), 'A')
        || setweight(to_tsvector('pg_catalog.english', folded(coalesce(title, ''))), 'A')
        || setweight(to_tsvector('pg_catalog.spanish', folded(coalesce(body, ''))), 'C')
        || setweight(to_tsvector('pg_catalog.portuguese',
                                 regexp_replace(folded(coalesce(body, '')), 'oes\M', 'ao', 'g')), 'C')
        || setweight(to_tsvector('pg_catalog.english', folded(coalesce(body, ''))), 'C')
$$;
UPDATE product SET name = name;         -- its words are made anew
UPDATE passage SET title = title;
