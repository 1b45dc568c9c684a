"""A browser's part of JupyterLab without a browser: session, kernel, cell."""

import http.cookiejar
import json
import urllib.request
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

    def run(self, code: str) -> str:
        """What a cell prints in a new kernel; an exception of the cell fails the test."""
        kernel = self.api("POST", "kernels", {"name": "python3"})["id"]
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._cookies)
        channel = websocket.create_connection(
            f"ws://{self._host}/api/kernels/{kernel}/channels", cookie=cookies, timeout=60
        )
        try:
            return _executed(channel, code)
        finally:
            channel.close()
            self.api("DELETE", f"kernels/{kernel}")


def _executed(channel: websocket.WebSocket, code: str) -> str:
    asked = uuid4().hex
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
    message = {
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "buffers": [],
        "channel": "shell",
    }
    channel.send(json.dumps(message))
    printed = ""
    while True:
        answer = json.loads(channel.recv())
        if answer["parent_header"].get("msg_id") != asked:
            continue
        kind = answer["msg_type"]
        if kind == "stream":
            printed += answer["content"]["text"]
        if kind == "error":
            raise AssertionError("\n".join(answer["content"]["traceback"]))
        if kind == "status" and answer["content"]["execution_state"] == "idle":
            return printed
