-- One row of "ranked": one line of a raw object of these hours, typed, judged, and kept or not.
-- "reason" says why a record cannot be taken; good records and blank lines have none. Blank lines are no
-- records, but they are among the rows: an hour that the audit does not see at all is then one that has no
-- byte, or a fault.
WITH parts (part, part_year, part_month, part_day, part_hour) AS (
    VALUES
        {parts}
),
-- Partitions are pruned by the condition; the join only says what each hour is called.
lines AS (
    SELECT
        coalesce(line, '\N') AS line,
        "$path" AS source_object,
        part
    FROM {source}
    JOIN parts ON part_year = year AND part_month = month AND part_day = day AND part_hour = hour
    WHERE {hours}
),
parsed AS (
    SELECT
        part,
        source_object,
        line,
        regexp_like(line, '\S') AS filled,
        try(json_parse(line)) AS doc
    FROM lines
),
-- The value of each key that is known, as JSON: NULL where the key is missing, JSON's null where it is null.
opened AS (
    SELECT
        *,
        doc IS NOT NULL AND regexp_like(line, '^\s*[{{]') AS is_object,
        {values}
    FROM parsed
),
scalars AS (
    SELECT
        *,
        {record_id} AS record_id,
        {texts}
    FROM opened
),
typed AS (
    SELECT
        *,
        {typed}
    FROM scalars
),
judged AS (
    SELECT
        *,
        CAST({event_time} AS date) AS event_day,
        {extra} AS extra,
        {reason} AS reason
    FROM typed
),
ranked AS (
    SELECT
        *,
        filled AND reason IS NULL AND ({first_copy}) AS kept
    FROM judged
)
