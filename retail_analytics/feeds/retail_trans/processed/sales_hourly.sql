-- One row: the sales of one hour in one country.
SELECT
    date_trunc('hour', invoicedate) AS sales_hour,
    country,
    count(DISTINCT CASE WHEN NOT is_cancellation THEN invoice END) AS orders,
    count(*) AS lines,
    sum(quantity) AS units,
    CAST(coalesce(sum(CASE WHEN NOT is_cancellation THEN line_amount END), 0) AS decimal(18, 4)) AS gross,
    CAST(coalesce(sum(CASE WHEN is_cancellation THEN line_amount END), 0) AS decimal(18, 4)) AS cancelled,
    CAST(sum(line_amount) AS decimal(18, 4)) AS net,
    count(DISTINCT customer_id) AS customers,
    event_day
FROM {source}
WHERE {days}
GROUP BY event_day, date_trunc('hour', invoicedate), country
