"""Ingest: from a CSV of transactions to records in a stream, or to raw hours as Firehose would land them.

``rows`` reads, ``records`` encodes, ``producer`` sends, ``history`` lands; ``synthetic`` makes input where
there is none. Not here: what becomes of a record once it is in the stream or in the raw hour.
"""
