-- One row: one good record, once an hour, typed as it is stored; the hour last, for the partition.
{ranked}
SELECT {columns}
FROM ranked
WHERE kept
