"""The handler's environment, read.

Here belong the variables and what they mean. Not here: making the variables from a feed's declaration
(``environment.py``), which the handler's zip does not need.

Environment (the first four are the notes'):
    ES_HOST: host of the domain, by https, or a URL; plain http for loopback only.
    REQUIRED_FIELDS: comma-separated keys that every record must have.
    REGION_NAME: AWS region.
    DATE_TYPE_FIELDS: comma-separated keys that hold dates; the first decides the index.
    ES_INDEX: the alias; documents go to ``ES_INDEX-YYYY.MM`` by event month. Default ``retail``.
    NULLABLE_FIELDS: those of REQUIRED_FIELDS whose value may be empty.
    DATE_FORMATS: ``strptime`` patterns or ``iso8601``, separated by ``|``; DATE_FORMAT is the same.
    FIELDS: the declared fields, ``name:kind`` or
        ``name:decimal:precision:scale``, comma separated; see ``rules.Field``.
    RECORD_ID_FIELD: key of the producer's id. Default ``record_id``.
    ES_AUTH, ES_USERNAME, ES_PASSWORD, ES_SECRET_ID: see ``connection.Domain``.
    DEAD_LETTER_BUCKET, DEAD_LETTER_PREFIX: where to set records aside. Without a bucket a record that can
        never succeed is given back as failed, for the event source mapping's own destination.
    ES_TEMPLATE: name of the index template that must be there before anything is written, or empty.
    ES_BULK_DOCUMENTS: documents of a bulk at most. Default 500: four of them keep a server busy while the
        next documents are made. A server whose cost is by bulk, as osmem-server's is, wants 2000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from retail_analytics.search.bulk import MAX_BULK_DOCUMENTS
from retail_analytics.search.connection import Domain
from retail_analytics.search.rules import DEFAULT_DATE_FORMATS, DocumentRules, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_BULK_DOCUMENTS = 500

_KINDS = ("text", "integer", "long", "double", "boolean", "date")


@dataclass(frozen=True)
class HandlerSettings:
    """The environment, read.

    Attributes:
        domain: The search domain.
        rules: What a record must be like.
        dead_letter_bucket: Empty where there is none.
        dead_letter_prefix: Ends with a slash.
        template: The index template that must be there, or empty.
        bulk_documents: Documents of a bulk at most.
    """

    domain: Domain
    rules: DocumentRules
    dead_letter_bucket: str
    dead_letter_prefix: str
    template: str
    bulk_documents: int = DEFAULT_BULK_DOCUMENTS

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> HandlerSettings:
        """Read the variables that the module's docstring lists.

        Raises:
            ValueError: One is missing or unusable; the message names it.
        """
        for name in ("ES_HOST", "REQUIRED_FIELDS", "REGION_NAME", "DATE_TYPE_FIELDS"):
            if not env.get(name, "").strip():
                raise ValueError(f"the variable {name} is not set; see upsert_to_es for what it holds.")
        index = env.get("ES_INDEX") or "retail"
        prefix = env.get("DEAD_LETTER_PREFIX") or f"dead-letters/{index}/"
        auth = env.get("ES_AUTH", "")
        if auth not in ("", "sigv4", "basic", "none"):
            raise ValueError(f"ES_AUTH={auth!r} is none of sigv4, basic, none.")
        formats = env.get("DATE_FORMATS") or env.get("DATE_FORMAT") or ""
        return cls(
            domain=Domain(
                host=env["ES_HOST"].strip(),
                region=env["REGION_NAME"].strip(),
                auth=cast('Literal["", "sigv4", "basic", "none"]', auth),
                username=env.get("ES_USERNAME", ""),
                password=env.get("ES_PASSWORD", ""),
                secret_id=env.get("ES_SECRET_ID", ""),
            ),
            rules=DocumentRules(
                index=index,
                required=_names(env["REQUIRED_FIELDS"]),
                nullable=frozenset(_names(env.get("NULLABLE_FIELDS", ""))),
                date_fields=_names(env["DATE_TYPE_FIELDS"]),
                date_formats=tuple(filter(None, formats.split("|"))) or DEFAULT_DATE_FORMATS,
                fields=tuple(parse_field(text) for text in _names(env.get("FIELDS", ""))),
                record_id=env.get("RECORD_ID_FIELD") or "record_id",
            ),
            dead_letter_bucket=env.get("DEAD_LETTER_BUCKET", ""),
            dead_letter_prefix=prefix if prefix.endswith("/") else f"{prefix}/",
            template=env.get("ES_TEMPLATE", ""),
            bulk_documents=_bulk_documents(env.get("ES_BULK_DOCUMENTS", "")),
        )


def parse_field(text: str) -> Field:
    """Parse one item of FIELDS.

    Raises:
        ValueError: It is not of the form ``name:kind`` or ``name:decimal:precision:scale``.
    """
    name, *rest = text.split(":")
    match rest:
        case ["decimal", precision, scale] if name and precision.isdigit() and scale.isdigit():
            return Field(name, "decimal", int(precision), int(scale))
        case [kind] if name and kind in _KINDS:
            return Field(name, cast("Any", kind))
    kinds = ", ".join(_KINDS)
    raise ValueError(f"FIELDS has {text!r}; write name:decimal:precision:scale, or name:kind of {kinds}.")


def _bulk_documents(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_BULK_DOCUMENTS):
        raise ValueError(f"ES_BULK_DOCUMENTS={text!r} is no number from 1 to {MAX_BULK_DOCUMENTS}.")
    return int(text or DEFAULT_BULK_DOCUMENTS)


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))
