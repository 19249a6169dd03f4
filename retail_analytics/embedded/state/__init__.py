"""The cloud's state over a restart: what is kept, when, and how it comes back.

``restart.py`` is what the server asks of it, ``keeper.py`` decides when a snapshot is taken and takes it,
``writing.py`` writes the services' state without stopping the server, ``pickling.py`` turns moto's backends
into bytes and back, ``bodies.py`` keeps objects' bytes, ``search_index.py`` the search server's documents,
and ``folder.py`` is the layout on disk. Not kept: Athena's past queries (their results are objects in S3).
"""
