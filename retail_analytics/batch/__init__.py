"""Compaction and processed tables: the machinery. The SQL of a processed table is its feed's."""
