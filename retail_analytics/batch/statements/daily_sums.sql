-- One row: one event day, and the measures over its records. Each counts once a day, in the first delivery
-- that has it; "repeated" counts the others.
SELECT
    event_day,
    count_if(delivery > 1) AS repeated,
    {sums}
FROM (
    SELECT *, {delivery} AS delivery
    FROM {source}
    WHERE {predicate}
) AS delivered
GROUP BY event_day
