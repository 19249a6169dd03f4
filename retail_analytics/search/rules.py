"""What a record must be like to become a document, and the fields that it then has.

Here belongs the form of these rules. Not here: keeping to them (``documents.py``), and where they come from:
the handler's environment (``handler_settings.py``) or a feed's declaration (``environment.py``). Standard
library only: the module is part of the handler's zip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "integer", "long", "decimal", "double", "boolean", "date"]

DEFAULT_DATE_FORMATS = ("%Y-%m-%d %H:%M:%S", "iso8601")
"""What dates look like unless the environment says otherwise; ``iso8601`` is Python's reader of it."""


@dataclass(frozen=True)
class Field:
    """A declared field of the document.

    Attributes:
        name: The record's key.
        kind: What its value must be.
        precision: Digits in all, for ``decimal``.
        scale: Digits after the point; more are rounded half up, as the lake's cast does.
    """

    name: str
    kind: Kind
    precision: int = 38
    scale: int = 0


@dataclass(frozen=True)
class DocumentRules:
    """What a record must be like, and what becomes of it.

    Attributes:
        index: The alias; a document's index is ``INDEX-YYYY.MM`` by its event month, UTC.
        required: Keys that every record must have, with a value.
        nullable: Those of the required keys for which the key suffices.
        date_fields: Keys that hold dates; the first is the event time and must have a value.
        date_formats: ``strptime`` patterns, or ``iso8601``, tried in order. Dates are UTC unless they say
            otherwise.
        fields: The declared fields. With them a document has exactly these, in this order, typed; without
            them it has what the record has.
        record_id: The key of the producer's id.
    """

    index: str
    required: tuple[str, ...]
    date_fields: tuple[str, ...]
    nullable: frozenset[str] = frozenset()
    date_formats: tuple[str, ...] = DEFAULT_DATE_FORMATS
    fields: tuple[Field, ...] = ()
    record_id: str = "record_id"

    def __post_init__(self) -> None:
        """Refuse rules that could not name an index."""
        if not self.date_fields:
            raise ValueError("no date field is declared; the first one decides a document's index.")
