-- One row: one event day, the source's sums beside the table's. "repeated" counts records that were delivered
-- more than once; "content" is a digest of the table's rows whatever their order; there are "source_i" and
-- "target_i" for each measure.
WITH source AS (
{source}
),
hashed AS (
    SELECT *, to_hex(md5(to_utf8({row_text}))) AS hashed
    FROM {written} AS processed_rows
),
-- The rows' hashes, summed in two halves: the same whatever their order, another where a row is another.
target AS (
    SELECT
        event_day,
        count(*) AS "rows",
        concat(
            CAST(sum(CAST(from_base(substr(hashed, 1, {digits}), 16) AS decimal(38, 0))) AS varchar),
            '-',
            CAST(sum(CAST(from_base(substr(hashed, 1 + {digits}, {digits}), 16) AS decimal(38, 0))) AS varchar)
        ) AS content,
        {targets}
    FROM hashed
    GROUP BY event_day
)
SELECT
    CAST(source.event_day AS varchar) AS event_day,
    source.repeated,
    target."rows",
    target.content,
    {compared}
FROM source
LEFT JOIN target ON target.event_day = source.event_day
ORDER BY 1
