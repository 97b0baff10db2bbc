-- name: put
INSERT INTO product AS p (tenant, source_id, handle, name, description, categories, tags, brand, url,
                          published)
SELECT $1, $2, u.* FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                               $8::text[], $9::text[], $10::boolean[]) u
ON CONFLICT (tenant, handle) DO UPDATE
SET source_id = excluded.source_id, name = excluded.name, description = excluded.description,
    categories = excluded.categories, tags = excluded.tags, brand = excluded.brand,
    url = excluded.url, published = excluded.published, updated_at = clock_timestamp(),
    space = CASE WHEN (p.name, p.description, p.categories, p.tags, p.brand)
                   IS DISTINCT FROM (excluded.name, excluded.description, excluded.categories,
                                     excluded.tags, excluded.brand) THEN NULL ELSE p.space END
RETURNING handle, product_id

-- name: clear_variants
DELETE FROM variant WHERE tenant = $1 AND product_id = ANY ($2::bigint[])

-- name: put_variants
INSERT INTO variant (tenant, product_id, place, options, sku, price_cents, offer_cents, stock)
SELECT $1, u.product_id, u.place, u.options::jsonb, u.sku, u.price_cents, u.offer_cents, u.stock
FROM unnest($2::bigint[], $3::int[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::int[])
    u (product_id, place, options, sku, price_cents, offer_cents, stock)

-- name: unpublish
UPDATE product SET published = false, updated_at = clock_timestamp()
WHERE tenant = $1 AND source_id = $2 AND published AND NOT handle = ANY ($3::text[])
