"""Content types: what a body is, and what answer a client takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
LIBSVM = "text/libsvm"
PARQUET = "application/x-parquet"
RECORDIO = "application/x-recordio-protobuf"

_ALIASES = {
    "csv": CSV,
    "libsvm": LIBSVM,
    "text/x-libsvm": LIBSVM,
    "parquet": PARQUET,
    "application/x-jsonlines": JSON_LINES,
    "application/jsonl": JSON_LINES,
    "recordio-protobuf": RECORDIO,
}


@dataclass(frozen=True)
class ContentType:
    """A media type and the parameters behind its semicolon."""

    name: str
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> ContentType:
        """Read a header or a channel's content type, in any case and under its short names."""
        name, *rest = text.lower().split(";")
        name = name.strip()
        parameters = {}
        for part in rest:
            key, _, value = part.partition("=")
            if key.strip():
                parameters[key.strip()] = value.strip().strip('"')
        return cls(_ALIASES.get(name, name), parameters)


def negotiate(accept: str | None, offered: Sequence[str]) -> ContentType | None:
    """The best offered type for an Accept header, the first offered when any will do.

    It keeps the parameters that the header gives it. None when the client takes none of them.
    """
    if not accept or not accept.strip():
        return ContentType(offered[0])
    wanted: list[tuple[float, int, ContentType]] = []
    for position, part in enumerate(accept.split(",")):
        kind = ContentType.parse(part)
        try:
            quality = float(kind.parameters.get("q", "1"))
        except ValueError:
            quality = 0.0
        wanted.append((-quality, position, kind))
    for quality, _, kind in sorted(wanted, key=lambda one: one[:2]):
        if quality == 0:
            continue
        for offer in offered:
            if kind.name in {"*/*", offer, offer.split("/")[0] + "/*"}:
                return ContentType(offer, kind.parameters)
    return None
