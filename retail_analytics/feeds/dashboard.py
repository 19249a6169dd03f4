"""What a feed declares of its dashboard: the questions that people ask of its search index.

Here belong the frozen dataclasses; fields are source keys, as documents have them. Not here: the saved
objects that OpenSearch Dashboards is given (``search/saved_objects.py``) and a feed's own dashboard (its
folder).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Shape = Literal["line", "bar", "pie", "table", "metric"]


@dataclass(frozen=True)
class ScriptedField:
    """A number that is computed from a document when it is asked for.

    Attributes:
        name: Its name, beside the document's own fields.
        script: A Painless expression over ``doc['FIELD'].value``.
    """

    name: str
    script: str


@dataclass(frozen=True)
class Metric:
    """One figure.

    Attributes:
        kind: What is computed; ``count`` needs no field.
        field: A field or scripted field.
        label: What people read.
    """

    kind: Literal["count", "sum", "cardinality"]
    label: str
    field: str = ""


@dataclass(frozen=True)
class Panel:
    """One visualisation.

    Attributes:
        name: Its name in ids, lower case.
        title: What people read.
        description: What it shows.
        shape: How it is drawn.
        metrics: Its figures; where ``by`` is a field, its values are ordered by the first.
        by: A field whose values are compared, ``time`` for the event time, or empty for totals.
        size: How many values of ``by``.
        query: Which documents, in Lucene's syntax; empty for all.
    """

    name: str
    title: str
    description: str
    shape: Shape
    metrics: tuple[Metric, ...]
    by: str = ""
    size: int = 10
    query: str = ""


@dataclass(frozen=True)
class SavedSearch:
    """One search for Discover.

    Attributes:
        name: Its name in ids, lower case.
        title: What people read.
        description: What it finds.
        query: In Lucene's syntax; empty for all.
        columns: The fields to show.
    """

    name: str
    title: str
    description: str
    query: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Dashboard:
    """A feed's dashboard.

    Attributes:
        title: What people read.
        description: What it is for.
        panels: Its visualisations, in reading order, two a row.
        searches: Searches for Discover; they stand beside it.
        scripted_fields: Numbers that panels use and documents do not have.
    """

    title: str
    description: str
    panels: tuple[Panel, ...]
    searches: tuple[SavedSearch, ...] = ()
    scripted_fields: tuple[ScriptedField, ...] = ()
