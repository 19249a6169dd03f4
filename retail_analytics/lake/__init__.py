"""Raw hours: arrivals, digests, partitions, catalog, crawlers. Compaction is ``batch/``'s."""
