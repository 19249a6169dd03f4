-- One row: one record that cannot be taken, as it came, with the object that it came in and the reason; the
-- hour last, for the partition.
{ranked}
SELECT line, source_object, reason, part
FROM ranked
WHERE reason IS NOT NULL
