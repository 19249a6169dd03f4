-- One row: one customer as of the end of one day, judged by that day and the look-back before it: how long
-- ago the last purchase was, how many purchases there were, how much was paid. Each is scored from 1 to 5
-- by fifths of the day's customers, 5 the best; customers that are alike in it have the same score.
WITH invoices AS (
    SELECT
        event_day AS invoiced_on,
        customer_id,
        invoice,
        is_cancellation,
        sum(line_amount) AS amount
    FROM {source}
    WHERE {days} AND customer_id IS NOT NULL
    GROUP BY event_day, customer_id, invoice, is_cancellation
),
asked AS (
    SELECT as_of FROM UNNEST({asked}) AS listed (as_of)
),
customers AS (
    SELECT
        asked.as_of,
        invoices.customer_id,
        max(CASE WHEN NOT invoices.is_cancellation THEN invoices.invoiced_on END) AS last_purchase,
        count(DISTINCT CASE WHEN NOT invoices.is_cancellation THEN invoices.invoice END) AS frequency,
        sum(invoices.amount) AS monetary
    FROM asked
    INNER JOIN invoices
        ON invoices.invoiced_on <= asked.as_of
        AND invoices.invoiced_on >= date_add('day', -{lookback_days}, asked.as_of)
    GROUP BY asked.as_of, invoices.customer_id
),
-- The rank counts those that are worse; a fifth is a matter of how many of the day's customers these are.
ranked AS (
    SELECT
        *,
        count(*) OVER (PARTITION BY as_of) AS customers,
        rank() OVER (PARTITION BY as_of ORDER BY last_purchase NULLS FIRST) - 1 AS less_recent,
        rank() OVER (PARTITION BY as_of ORDER BY frequency) - 1 AS less_frequent,
        rank() OVER (PARTITION BY as_of ORDER BY monetary) - 1 AS less_monetary
    FROM customers
)
SELECT
    customer_id,
    last_purchase,
    date_diff('day', last_purchase, as_of) AS recency,
    frequency,
    monetary,
    less_recent * 5 / customers + 1 AS recency_score,
    less_frequent * 5 / customers + 1 AS frequency_score,
    less_monetary * 5 / customers + 1 AS monetary_score,
    as_of AS event_day
FROM ranked
