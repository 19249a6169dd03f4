-- One row: the sales of one product on one day, under the name that most of the day's lines give it.
WITH named AS (
    SELECT
        event_day,
        stockcode,
        description,
        row_number() OVER (
            PARTITION BY event_day, stockcode ORDER BY count(*) DESC, description
        ) AS place
    FROM {source}
    WHERE {days} AND description IS NOT NULL
    GROUP BY event_day, stockcode, description
)
SELECT
    sold.stockcode,
    max(named.description) AS description,
    count(DISTINCT CASE WHEN NOT sold.is_cancellation THEN sold.invoice END) AS orders,
    count(*) AS lines,
    sum(sold.quantity) AS units,
    CAST(
        coalesce(sum(CASE WHEN NOT sold.is_cancellation THEN sold.line_amount END), 0) AS decimal(18, 4)
    ) AS gross,
    CAST(
        coalesce(sum(CASE WHEN sold.is_cancellation THEN sold.line_amount END), 0) AS decimal(18, 4)
    ) AS cancelled,
    CAST(sum(sold.line_amount) AS decimal(18, 4)) AS net,
    sold.event_day
FROM (SELECT * FROM {source} WHERE {days}) AS sold
LEFT JOIN named
    ON named.event_day = sold.event_day AND named.stockcode = sold.stockcode AND named.place = 1
GROUP BY sold.event_day, sold.stockcode
