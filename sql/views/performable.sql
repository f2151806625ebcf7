-- performable
-- Title: What stores can perform
-- Grain: store × product that the store can perform now.
-- What was said of the pair counts; where nothing was, the store needs the product's skill, if it asks for one.
SELECT s.store_id, p.product_id
FROM stores AS s
CROSS JOIN products AS p
LEFT JOIN (
    SELECT store_id, product_id, bool_or(enabled) AS enabled FROM capabilities GROUP BY store_id, product_id
) AS c ON c.store_id = s.store_id AND c.product_id = p.product_id
WHERE coalesce(c.enabled, p.skill IS NULL OR coalesce(array_has(s.skills, p.skill), false))
