-- name: products_by_words
-- Any of the words, in any of the three languages; the more and the rarer, the better.
WITH asked AS (SELECT any_words($2) AS query)
SELECT p.product_id FROM product p, asked
WHERE p.tenant = $1 AND p.published AND p.words @@ asked.query
ORDER BY ts_rank_cd(p.words, asked.query, 1) DESC, p.product_id LIMIT $3

-- name: passages_by_words
WITH asked AS (SELECT any_words($2) AS query)
SELECT p.passage_id FROM passage p, asked
WHERE p.tenant = $1 AND p.words @@ asked.query
ORDER BY ts_rank_cd(p.words, asked.query, 1) DESC, p.passage_id LIMIT $3

-- name: products
SELECT p.product_id, p.name, p.description, p.categories, p.brand, p.url,
       coalesce(array_agg(v.options::text ORDER BY v.place) FILTER (WHERE v.variant_id IS NOT NULL), '{}')
           AS options,
       coalesce(array_agg(v.price_cents ORDER BY v.place) FILTER (WHERE v.variant_id IS NOT NULL), '{}')
           AS prices,
       coalesce(array_agg(v.offer_cents ORDER BY v.place) FILTER (WHERE v.variant_id IS NOT NULL), '{}')
           AS offers,
       coalesce(array_agg(v.stock ORDER BY v.place) FILTER (WHERE v.variant_id IS NOT NULL), '{}')
           AS stocks
FROM product p LEFT JOIN variant v ON v.tenant = p.tenant AND v.product_id = p.product_id
WHERE p.tenant = $1 AND p.product_id = ANY ($2::bigint[])
GROUP BY p.product_id

-- name: passages
SELECT p.passage_id, p.title, p.body, s.name
FROM passage p JOIN source s ON s.tenant = p.tenant AND s.source_id = p.source_id
WHERE p.tenant = $1 AND p.passage_id = ANY ($2::bigint[])
