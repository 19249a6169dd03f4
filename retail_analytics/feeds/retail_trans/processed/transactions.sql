-- One row: one line of an invoice, once. A record that was delivered into two hours is taken from the
-- first; twin lines (two scans of the same item) have ids of their own and stay. Records without an id
-- cannot be told apart and are all kept. By day, so that a day does not depend on those made with it.
WITH once AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY event_day, record_id ORDER BY year, month, day, hour) AS delivery
    FROM {source}
    WHERE {days}
)
SELECT
    record_id,
    invoice,
    stockcode,
    nullif(trim(description), '') AS description,
    quantity,
    invoicedate,
    price,
    CAST(quantity * price AS decimal(18, 4)) AS line_amount,
    substr(invoice, 1, 1) = 'C' AS is_cancellation,
    nullif(trim(customer_id), '') AS customer_id,
    country,
    event_day
FROM once
WHERE delivery = 1 OR record_id IS NULL
