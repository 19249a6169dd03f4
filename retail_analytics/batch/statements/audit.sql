-- One row: one hour, raw and written side by side.
-- "lines", "rejected", "duplicates" and "without_id" are raw's; "compacted", "event_days" (comma separated) and
-- "preview" (cells and rows between separators) are of what was written. For each column of the feed, in its
-- order, there are "raw_count_i" and "written_count_i", values that are not NULL, and for numbers "raw_sum_i"
-- and "written_sum_i".
{ranked},
raw AS (
    SELECT
        part,
        count_if(filled) AS lines,
        count_if(reason IS NOT NULL) AS rejected,
        count_if(filled AND reason IS NULL AND NOT kept) AS duplicates,
        count_if(kept AND record_id IS NULL) AS without_id,
        {raw}
    FROM ranked
    GROUP BY part
),
written AS (
    SELECT
        part,
        count(*) AS compacted,
        array_join(array_sort(array_agg(DISTINCT CAST(event_day AS varchar))), ',') AS event_days,
        array_join(
            transform(
                min_by({preview_row}, coalesce(record_id, ''), {preview_rows}),
                r -> substr(r, 1, {preview_length})
            ),
            {preview_row_end}
        ) AS preview,
        {there}
    FROM {written} AS compacted_rows
    GROUP BY part
)
SELECT
    raw.part,
    raw.lines,
    raw.rejected,
    raw.duplicates,
    raw.without_id,
    coalesce(written.compacted, 0) AS compacted,
    written.event_days,
    written.preview,
    {compared}
FROM raw
LEFT JOIN written ON written.part = raw.part
ORDER BY raw.part
