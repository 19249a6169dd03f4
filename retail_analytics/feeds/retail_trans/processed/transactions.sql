-- One row: one line of an invoice, once. A record that was delivered into two hours is taken from the
-- first; twin lines (two scans of the same item) have ids of their own and stay. Records without an id
-- cannot be told apart and are all kept. By day, so that a day does not depend on those made with it.
-- A cancelled line names the line that it cancels: the latest earlier sale of the same product to the same
-- customer at the same price, of at least as many units, on its own day or within the look-back before it.
WITH delivered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY event_day, record_id ORDER BY year, month, day, hour) AS delivery
    FROM {source}
    WHERE {days}
),
lines AS (
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
    FROM delivered
    WHERE delivery = 1 OR record_id IS NULL
),
-- Lines that are alike in all of this cancel the same line, so they are looked up once.
cancelled AS (
    SELECT DISTINCT event_day, stockcode, customer_id, price, quantity, invoicedate
    FROM lines
    WHERE {made} AND is_cancellation AND quantity < 0 AND customer_id IS NOT NULL
),
sales AS (
    SELECT event_day, invoicedate, stockcode, customer_id, price, quantity, invoice, record_id
    FROM lines
    WHERE NOT is_cancellation AND quantity > 0
),
candidates AS (
    SELECT
        cancelled.event_day,
        cancelled.stockcode,
        cancelled.customer_id,
        cancelled.price,
        cancelled.quantity,
        cancelled.invoicedate,
        sales.invoice AS original_invoice,
        sales.invoicedate AS original_invoicedate,
        sales.record_id AS original_record_id,
        row_number() OVER (
            PARTITION BY
                cancelled.event_day, cancelled.stockcode, cancelled.customer_id, cancelled.price,
                cancelled.quantity, cancelled.invoicedate
            -- The rest makes one answer of several sales in one minute: the smallest first.
            ORDER BY sales.invoicedate DESC, sales.quantity, sales.invoice DESC, sales.record_id
        ) AS place
    FROM cancelled
    INNER JOIN sales
        ON sales.stockcode = cancelled.stockcode
        AND sales.customer_id = cancelled.customer_id
        AND sales.price = cancelled.price
        AND sales.quantity >= -cancelled.quantity
        AND sales.invoicedate < cancelled.invoicedate
        AND sales.event_day >= date_add('day', -{lookback_days}, cancelled.event_day)
)
SELECT
    made.record_id,
    made.invoice,
    made.stockcode,
    made.description,
    made.quantity,
    made.invoicedate,
    made.price,
    made.line_amount,
    made.is_cancellation,
    made.customer_id,
    made.country,
    original.original_invoice,
    original.original_invoicedate,
    original.original_record_id,
    made.event_day
FROM (SELECT * FROM lines WHERE {made}) AS made
LEFT JOIN candidates AS original
    ON original.place = 1
    AND made.is_cancellation
    AND original.event_day = made.event_day
    AND original.stockcode = made.stockcode
    AND original.customer_id = made.customer_id
    AND original.price = made.price
    AND original.quantity = made.quantity
    AND original.invoicedate = made.invoicedate
