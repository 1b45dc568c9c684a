"""What an invocation gets: a request read for its model, and the answer in the form it accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from algorithms.toolkit import content
from algorithms.toolkit.algorithm import Answers, Model, Request, Responder
from algorithms.toolkit.content import ContentType, negotiate
from algorithms.toolkit.errors import CustomerError
from algorithms.toolkit.formats.table import FormatError, Table, refuse_infinite

if TYPE_CHECKING:
    from algorithms.toolkit.algorithm import Chooser, CsvModel


class Refusal(Exception):
    """A request that is answered with an error status and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def invoke(
    model: Model | Responder,
    body: bytes,
    content_type: str | None,
    accept: str | None,
    *,
    batch: bool,
) -> tuple[int, str, bytes]:
    """The status, content type and body that answer an invocation.

    Raises Refusal for a request that cannot be answered.
    """
    if not body:
        return 204, "", b""
    kind = ContentType.parse(content_type or model.accepts[0])
    if kind.name not in model.accepts:
        raise Refusal(
            415, f"Content type '{kind.name}' is not supported; {', '.join(model.accepts)} are"
        )
    # Whether a model is a Chooser or a Responder: isinstance of a Protocol takes longer than some
    # of them to answer.
    if hasattr(model, "answer_type"):
        wanted = cast("Chooser", model).answer_type(kind, accept)
    else:
        wanted = negotiate(accept, model.answers)
    if wanted is None:
        raise Refusal(406, f"Accept '{accept}' is not supported; {', '.join(model.answers)} are")
    try:
        if kind.name == content.CSV:
            _check_label_size(model, kind)
        if hasattr(model, "respond"):
            answer = cast("Responder", model).respond(Request(body, kind, wanted, batch))
        else:
            answers = model.predict(read_table(model, kind, body))
            answer = encode(model, answers, wanted.name, batch=batch)
    except (FormatError, CustomerError) as error:
        raise Refusal(400, f"Unable to evaluate payload provided: {error}") from None
    return 200, wanted.name, answer


def read_table(model: Model, kind: ContentType, body: bytes) -> Table:
    """The records of a request, in the width that the model takes.

    Raises:
        FormatError: The request is not of its content type, or its records do not fit the model.
    """
    from algorithms.toolkit.formats import delimited

    name = "payload"
    if kind.name == content.CSV:
        table = Table(
            delimited.read(
                body,
                name,
                missing=model_takes_missing(model),
                bulk=False,
                any_delimiter=getattr(model, "any_delimiter", False),
            )
        )
    elif kind.name == content.JSON:
        from algorithms.toolkit.formats import instances

        table = instances.read_json(body, name)
    elif kind.name == content.JSON_LINES:
        from algorithms.toolkit.formats import instances

        table = instances.read_jsonlines(body, name)
    elif kind.name == content.LIBSVM:
        from algorithms.toolkit.formats import libsvm

        table = libsvm.read(body, name, labelled=False)
        # libsvm says no width: features that no line mentions are just absent.
        table = table.widened(model.width)
    else:
        from algorithms.toolkit.formats import recordio

        table = recordio.read(body, name, width=model.width)
    if table.width != model.width:
        raise FormatError(f"wrong width: {table.width} values, the model takes {model.width}")
    if kind.name != content.CSV:
        refuse_infinite(table, missing=model_takes_missing(model))
    return table


def _check_label_size(model: Model | Responder, kind: ContentType) -> None:
    """Refuse a content type that says that a request has labels."""
    # AWS's container of XGBoost takes label_size=1 alone, and reads all columns as features.
    allowed = ("0", *getattr(model, "label_sizes", ()))
    given = kind.parameters.get("label_size", "0")
    if given not in allowed:
        raise FormatError(f"label_size={given}: a request has no labels; label_size=0 is allowed")


def model_takes_missing(model: Model) -> bool:
    """Whether a feature of a record may be missing for this model."""
    return bool(getattr(model, "missing", False))


def encode(model: Model, answers: Answers, kind: str, *, batch: bool) -> bytes:
    """Answers in the form of a content type."""
    import orjson

    if kind == content.CSV:
        return cast("CsvModel", model).csv(answers, batch=batch).encode()
    if kind == content.JSON:
        return orjson.dumps({getattr(model, "json_key", "predictions"): list(answers)})
    if kind == content.JSON_LINES:
        return b"\n".join(orjson.dumps(answer) for answer in answers) + b"\n"
    from algorithms.toolkit.formats import recordio

    return recordio.write_labels(answers)
