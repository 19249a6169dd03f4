-- One row: one day that is made, and the daily sums over its window: the day and its look-back.
SELECT
    asked.as_of AS event_day,
    sum(daily.repeated) AS repeated,
    {sums}
FROM (SELECT as_of FROM UNNEST({asked}) AS listed (as_of)) AS asked
INNER JOIN (
{daily}
) AS daily
    ON daily.event_day <= asked.as_of
    AND daily.event_day >= date_add('day', -{lookback_days}, asked.as_of)
GROUP BY asked.as_of
