"""Search: upsert handler, index templates, history, health, dead letters.

Nothing is imported here: the handler's zip holds this package and must start without Dagster.
"""
