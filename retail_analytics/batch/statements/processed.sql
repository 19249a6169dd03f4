-- One row: what a row of the feed's own statement means, in the declared types; the event day last.
SELECT
    {columns},
    event_day
FROM (
{made}
) AS made
