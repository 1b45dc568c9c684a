"""A browser's part of JupyterLab without a browser: session, kernel, cell."""

import http.cookiejar
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import websocket


class Session:
    """What a presigned URL opened."""

    def __init__(self, url: str) -> None:
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self._cookies)
        )
        parts = urlsplit(url)
        self._host = parts.netloc
        with self._opener.open(url) as page:
            assert page.status == 200

    def api(self, method: str, path: str, document: object = None) -> Any:
        values = {cookie.name: cookie.value for cookie in self._cookies}
        request = urllib.request.Request(
            f"http://{self._host}/api/{path}",
            method=method,
            data=None if document is None else json.dumps(document).encode(),
            headers={"X-XSRFToken": values.get("_xsrf") or ""},
        )
        with self._opener.open(request) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    @contextmanager
    def kernel(self, path: str = "scratch.ipynb", seconds: float = 60) -> Iterator["Kernel"]:
        """A new kernel, begun as for the notebook at `path` and ended afterwards."""
        asked = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        session = self.api("POST", "sessions", asked)
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._cookies)
        channel = websocket.create_connection(
            f"ws://{self._host}/api/kernels/{session['kernel']['id']}/channels",
            cookie=cookies,
            timeout=seconds,
        )
        try:
            yield Kernel(channel)
        finally:
            channel.close()
            self.api("DELETE", f"sessions/{session['id']}")

    def run(self, code: str) -> str:
        """What a cell prints in a new kernel; an exception of the cell fails the test."""
        with self.kernel() as kernel:
            return kernel.run(code)


class Kernel:
    """A kernel that runs one cell after another."""

    def __init__(self, channel: websocket.WebSocket) -> None:
        self._channel = channel
        self.pictures = 0

    def run(self, code: str) -> str:
        """What a cell prints; an exception of the cell fails the test."""
        asked = uuid4().hex
        self._channel.send(json.dumps(_request(asked, code)))
        printed = ""
        while True:
            answer = json.loads(self._channel.recv())
            if answer["parent_header"].get("msg_id") != asked:
                continue
            kind = answer["msg_type"]
            if kind == "stream":
                printed += answer["content"]["text"]
            if kind == "display_data" and "image/png" in answer["content"]["data"]:
                self.pictures += 1
            if kind == "error":
                raise AssertionError("\n".join(answer["content"]["traceback"]))
            if kind == "status" and answer["content"]["execution_state"] == "idle":
                return printed


def _request(asked: str, code: str) -> dict[str, Any]:
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
        "stop_on_error": True,
    }
    header = {
        "msg_id": asked,
        "msg_type": "execute_request",
        "session": uuid4().hex,
        "username": "",
        "version": "5.3",
        "date": "2026-01-01T00:00:00Z",
    }
    return {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "buffers": [],
        "channel": "shell",
    }
