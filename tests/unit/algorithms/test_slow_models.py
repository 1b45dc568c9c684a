"""A server stays to be reached while its model is at work."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

from algorithms.toolkit.algorithm import Request
from algorithms.toolkit.serving import Server


class Slow:
    accepts: tuple[str, ...] = ("application/json",)
    answers: tuple[str, ...] = ("application/json",)
    slow = True

    def __init__(self) -> None:
        self.pinged = threading.Event()

    def respond(self, request: Request) -> bytes:
        return b"in time" if self.pinged.wait(30) else b"too late"


class Protocol:
    def __init__(self) -> None:
        self.answer = b""

    async def __call__(self) -> bytes:
        return b"{}"

    def response_bytes(self, status: int, headers: Any, body: bytes) -> None:
        self.answer = body

    def response_empty(self, status: int, headers: Any) -> None:
        self.answer = b"empty"


def test_a_ping_is_answered_while_a_slow_model_works_on_a_small_request() -> None:
    model = Slow()
    server: Any = Server(model, {})
    asked, pinged = Protocol(), Protocol()

    async def both() -> None:
        scope = SimpleNamespace(path="/invocations", method="POST", headers={"content-length": "2"})
        working = asyncio.create_task(server.__rsgi__(scope, asked))
        await asyncio.sleep(0)
        await server.__rsgi__(SimpleNamespace(path="/ping", method="GET", headers={}), pinged)
        model.pinged.set()
        await working

    asyncio.run(both())
    assert (pinged.answer, asked.answer) == (b"empty", b"in time")
