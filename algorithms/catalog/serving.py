"""What a trained model is asked and answers, and what was measured of an algorithm."""

from typing import Annotated

from pydantic import Field

from algorithms.catalog.values import Entry


class Example(Entry):
    """A request as a client sends it, and the answer that it gets.

    What is not text is described in words, in angle brackets.
    """

    content_type: str
    accept: str
    request: str
    response: str


class Inference(Entry):
    """The forms of requests and answers; the first of each is meant when a client names none."""

    content_types: Annotated[tuple[str, ...], Field(min_length=1)]
    accepts: Annotated[tuple[str, ...], Field(min_length=1)]
    examples: Annotated[tuple[Example, ...], Field(min_length=1)]
    notes: tuple[str, ...] = ()


class Result(Entry):
    """A figure that was measured of this project's own implementation.

    `reference` names what it is held against and what that reached in the same run; `goal` says
    what must be reached; `command` repeats it.
    """

    data: str
    measure: str
    value: str
    reference: str
    goal: str | None = None
    command: str
