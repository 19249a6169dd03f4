"""What ingest says when it cannot go on.

Every message is one sentence for a person, with the next step. The command line prints it and exits with
status 1; a traceback is left to defects. Not here: what AWS answers (``remote.py`` turns that into these).
"""

from __future__ import annotations


class IngestError(Exception):
    """Ingest cannot go on; the message says why and what to do next."""


class InputError(IngestError):
    """The input cannot be used: missing, empty, or without the columns that the feed needs."""


class RemoteError(IngestError):
    """A service refused for good, or does not answer."""
