-- One row: one hour, and how many rejected records were written of it.
SELECT part, count(*) AS rejected
FROM {written}
GROUP BY part
