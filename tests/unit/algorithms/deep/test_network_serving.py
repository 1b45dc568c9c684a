"""A server of an algorithm with a network stays to be reached while its network is at work."""

import asyncio
import threading
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest

from algorithms.toolkit.algorithm import Request
from algorithms.toolkit.serving import Server

SLOW = (
    "image_classification",
    "object2vec",
    "object_detection",
    "semantic_segmentation",
    "seq2seq",
)


class _Protocol:
    def __init__(self) -> None:
        self.answer = b""

    async def __call__(self) -> bytes:
        return b"image"

    def response_bytes(self, _status: int, _headers: Any, body: bytes) -> None:
        self.answer = body

    def response_empty(self, _status: int, _headers: Any) -> None:
        self.answer = b"empty"


@pytest.mark.parametrize("name", SLOW)
def test_a_ping_is_answered_while_a_request_is_worked_on(name: str) -> None:
    kind: Any = import_module(f"algorithms.{name}.model").Model
    pinged = threading.Event()

    class Waiting(kind):  # type: ignore[misc]
        def __init__(self) -> None:
            """Have no network: how it is called is all that counts."""

        def respond(self, _request: Request) -> bytes:
            return b"in time" if pinged.wait(30) else b"too late"

    server: Any = Server(Waiting(), {})
    asked, ping = _Protocol(), _Protocol()

    async def both() -> None:
        scope = SimpleNamespace(path="/invocations", method="POST", headers={"content-length": "5"})
        working = asyncio.create_task(server.__rsgi__(scope, asked))
        await asyncio.sleep(0)
        await server.__rsgi__(SimpleNamespace(path="/ping", method="GET", headers={}), ping)
        pinged.set()
        await working

    asyncio.run(both())
    assert (ping.answer, asked.answer) == (b"empty", b"in time")
