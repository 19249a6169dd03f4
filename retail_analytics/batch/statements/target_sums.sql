-- One row: one event day, and the measures over the table's rows of it.
SELECT
    event_day,
    {sums}
FROM {table}
WHERE {days}
GROUP BY event_day
