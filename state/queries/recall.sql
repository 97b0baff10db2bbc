-- name: products_by_words
-- $1 shop, $2 text, $3 how many, $4 the space of its vectors. One row: ids, the best first, of those
-- with any of the words, in any of the three languages (the more and the rarer, the better); whether
-- rows have no vector in the space; whether any has one.
SELECT ARRAY(
    SELECT p.product_id FROM product p, any_words($2) AS query
    WHERE p.tenant = $1 AND p.published AND p.words @@ query
    ORDER BY ts_rank_cd(p.words, query, 1) DESC, p.product_id LIMIT $3
) AS ids,
EXISTS (SELECT FROM product WHERE tenant = $1 AND space IS NULL)
    OR EXISTS (SELECT FROM product WHERE tenant = $1 AND space < $4)
    OR EXISTS (SELECT FROM product WHERE tenant = $1 AND space > $4) AS waiting,
EXISTS (SELECT FROM product WHERE tenant = $1 AND space = $4) AS placed

-- name: passages_by_words
-- The same of passages.
SELECT ARRAY(
    SELECT p.passage_id FROM passage p, any_words($2) AS query
    WHERE p.tenant = $1 AND p.words @@ query
    ORDER BY ts_rank_cd(p.words, query, 1) DESC, p.passage_id LIMIT $3
) AS ids,
EXISTS (SELECT FROM passage WHERE tenant = $1 AND space IS NULL)
    OR EXISTS (SELECT FROM passage WHERE tenant = $1 AND space < $4)
    OR EXISTS (SELECT FROM passage WHERE tenant = $1 AND space > $4) AS waiting,
EXISTS (SELECT FROM passage WHERE tenant = $1 AND space = $4) AS placed

-- name: products
-- $1 shop, $2 ids, $3 how many of those that are still shown, in the order of the ids.
WITH best AS (
    SELECT p.*, u.place FROM unnest($2::bigint[]) WITH ORDINALITY u (product_id, place)
    JOIN product p ON p.tenant = $1 AND p.product_id = u.product_id AND p.published
    ORDER BY u.place LIMIT $3
)
SELECT b.product_id, b.name, b.description, b.categories, b.brand, b.url, v.*
FROM best b CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(options::text ORDER BY place), '{}') AS options,
           coalesce(array_agg(price_cents ORDER BY place), '{}') AS prices,
           coalesce(array_agg(offer_cents ORDER BY place), '{}') AS offers,
           coalesce(array_agg(stock ORDER BY place), '{}') AS stocks
    FROM variant WHERE tenant = $1 AND product_id = b.product_id
) v
ORDER BY b.place

-- name: passages
-- $1 shop, $2 ids, $3 how many of those that are still there, in the order of the ids.
SELECT p.passage_id, p.title, p.body, s.name
FROM unnest($2::bigint[]) WITH ORDINALITY u (passage_id, place)
JOIN passage p ON p.tenant = $1 AND p.passage_id = u.passage_id
JOIN source s ON s.tenant = $1 AND s.source_id = p.source_id
ORDER BY u.place LIMIT $3
