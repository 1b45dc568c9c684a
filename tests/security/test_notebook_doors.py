"""Who gets into a notebook, and what a notebook reaches."""

import asyncio
import http.client
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import websocket

from local.confinement import offered
from local.platform.home import Home
from local.platform.record import recorded
from local.sagemaker.notebooks import identity, repositories, sessions
from local.sagemaker.notebooks.home import NotebookHome
from tests.local.jupyter import Session
from tests.local.support import notebook_in_service
from tests.platform import LocalPlatform
from tests.security.probe import beyond_the_way, of_platform, program

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="what confines processes is Linux's; see docs/security.md"
)


@pytest.fixture(scope="module")
def asked(platform: LocalPlatform) -> dict[str, Any]:
    server = recorded(Home(platform.home))
    assert server is not None
    return {
        "read": [*of_platform(platform.home), str(Path.home() / ".ssh")],
        "write": [str(platform.home), str(platform.home / "state")],
        "processes": [server.pid, os.getpid()] if offered().landlock else [],
        "marker": "GATEWAY_PORT=",
    }


@pytest.fixture(scope="module")
def notebook(platform: LocalPlatform, asked: dict[str, Any]) -> Iterator[str]:
    """A notebook whose script tries what a cell tries, too, and prints what it reached."""
    script = f"#!/bin/bash\ncd SageMaker\npython3 - > reached.json <<'END'\n{program(asked)}END\n"
    with notebook_in_service(platform, "doors", script) as name:
        yield name


@pytest.fixture
def url(platform: LocalPlatform, notebook: str) -> str:
    answer = platform.client("sagemaker").create_presigned_notebook_instance_url(
        NotebookInstanceName=notebook
    )
    return str(answer["AuthorizedUrl"])


@linux
@pytest.mark.holds(
    "A notebook's scripts, kernels and what they start read neither the platform's keys and state "
    "nor another process's environment."
)
def test_a_notebook_reaches_nothing_that_is_not_its_own(
    platform: LocalPlatform, url: str, asked: dict[str, Any]
) -> None:
    child = f"[sys.executable, '-c', {program(asked)!r}]"
    started = (
        "import subprocess, sys\n"
        f"print(subprocess.run({child}, capture_output=True, text=True).stdout)"
    )
    with Session(url).kernel() as kernel:
        reached = [
            json.loads(text)
            for text in (
                kernel.run("print(open('reached.json').read())"),
                kernel.run(program(asked)),
                kernel.run(started),
            )
        ]
    assert [beyond_the_way(each) for each in reached] == [[], [], []]
    assert not (platform.home / "left-by-the-probe").exists()


@pytest.mark.holds(
    "A notebook's URL opens it once: for a cookie that scripts of a page cannot read and that no "
    "other site's request carries; neither the address nor a page holds a token afterwards."
)
def test_a_presigned_url_is_exchanged_for_a_cookie_and_is_dead_then(url: str) -> None:
    parts = urlsplit(url)
    first = _asked(parts.netloc, f"{parts.path}?{parts.query}&file=a")
    assert first.status == 302
    assert first.headers["Location"] == "/lab?file=a"
    cookies = first.headers.get_all("Set-Cookie") or []
    session = next(each for each in cookies if each.startswith("username-"))
    assert "HttpOnly" in session
    assert "samesite=strict" in session.lower()
    again = _asked(parts.netloc, f"{parts.path}?{parts.query}")
    assert again.headers.get("Location", "").startswith("/login")
    cookie = {"Cookie": session.partition(";")[0]}
    for path in ("/lab", "/lab/tree/none.ipynb", "/none", "/login"):
        page = _asked(parts.netloc, path, **cookie)
        tokens = re.findall(r'"token": "([^"]*)"|api-token="([^"]*)"', page.text)
        assert [both for both in tokens if any(both)] == [], path
    assert _asked(parts.netloc, "/api/kernels", **cookie).status == 200


@pytest.mark.holds("A notebook answers no other host's name, and no other site's page.")
def test_a_notebook_checks_host_and_origin_of_each_request(url: str) -> None:
    session = Session(url)
    parts = urlsplit(url)
    cookie = {
        "Cookie": "; ".join(f"{each.name}={each.value}" for each in session._cookies),
    }
    assert _asked(parts.netloc, "/api/kernels", **cookie).status == 200
    for path in ("/lab", "/api", "/api/kernels", "/api/contents", "/static/favicons/favicon.ico"):
        rebound = _asked(parts.netloc, path, **cookie, Host=f"evil.example:{parts.port}")
        assert rebound.status in (403, 404), path
        foreign = _asked(parts.netloc, path, **cookie, Origin="http://evil.example")
        assert "Access-Control-Allow-Origin" not in foreign.headers, path
    created = _asked(parts.netloc, "/api/terminals", "POST", **cookie, Origin="http://evil.example")
    # Jupyter says that there is no such thing.
    assert created.status in (403, 404)
    with session.kernel() as _:
        kernel = session.api("GET", "kernels")[0]["id"]
        socket = f"ws://{parts.netloc}/api/kernels/{kernel}/channels"
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            websocket.create_connection(
                socket, header=[f"Cookie: {cookie['Cookie']}"], origin="http://evil.example"
            )
        assert refused.value.status_code == 403
        with pytest.raises(websocket.WebSocketBadStatusException) as rebound_socket:
            websocket.create_connection(
                socket, header=[f"Cookie: {cookie['Cookie']}"], host="evil.example"
            )
        assert rebound_socket.value.status_code == 403


def _asked(netloc: str, path: str, method: str = "GET", **headers: str) -> Any:
    connection = http.client.HTTPConnection(netloc, timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return SimpleNamespace(status=answer.status, headers=answer.headers, text=text)


class _Closing:
    """As much of a websocket's handler as its end needs."""

    def __init__(self) -> None:
        self.ws_connection: object = object()
        self.closed = 0

    def close(self, code: int, reason: str) -> None:
        self.closed = code


@pytest.mark.holds("What a session has open is closed when the session ends.")
def test_an_open_connection_is_closed_at_the_end_of_its_session() -> None:
    now, later, gone = _Closing(), _Closing(), _Closing()
    gone.ws_connection = None

    async def live() -> None:
        for handler, ends in ((now, 0.0), (gone, 0.0), (later, time.time() + 600)):
            identity._close_at(handler, ends)  # type: ignore[arg-type]
        for _ in range(2000):
            if now.closed:
                break
            await asyncio.sleep(0.001)

    asyncio.run(live())
    assert (now.closed, later.closed, gone.closed) == (1008, 0, 0)


def test_a_token_opens_one_session_and_no_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_secret", "secret")
    provider = identity.SessionIdentityProvider()
    token = sessions.token("secret", opens_until=time.time() + 60, session_seconds=1800)
    opened = provider._exchange(token)
    assert opened is not None
    assert 1790 < opened.ends - time.time() <= 1800
    assert provider._exchange(token) is None


@pytest.mark.holds(
    "git clones for notebooks with nothing of the person's: no settings, credentials, hooks, "
    "agents, and over https alone."
)
def test_git_takes_nothing_of_the_persons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "SSH_AUTH_SOCK",
        "GIT_SSH_COMMAND",
        "GIT_ASKPASS",
        "GIT_CONFIG_GLOBAL",
        "XDG_CONFIG_HOME",
    ):
        monkeypatch.setenv(name, str(tmp_path / "persons"))
    monkeypatch.setenv("HOME", str(tmp_path / "persons"))
    given = repositories.git_environment({}, tmp_path / "own")
    assert str(tmp_path / "persons") not in given.values()
    assert given["HOME"] == str(tmp_path / "own")
    command = repositories.git_command({})
    for setting in (
        "protocol.allow=never",
        "protocol.https.allow=always",
        "core.hooksPath=/dev/null",
    ):
        assert command[command.index(setting) - 1] == "-c"


@pytest.mark.holds("A link that a notebook leaves in its folder leads the platform nowhere.")
def test_a_notebook_that_links_its_volume_elsewhere_gets_a_new_one(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home = NotebookHome(tmp_path / "one")
    document = {"NotebookInstanceArn": "arn", "NotebookInstanceName": "one"}
    home.renew(document)
    home.volume.rmdir()
    home.volume.symlink_to(elsewhere)
    home.renew(document)
    assert home.volume.is_dir() and not home.volume.is_symlink()
    (home.path / "anaconda3").rename(home.path / "moved")
    (home.path / "anaconda3").symlink_to(elsewhere)
    home.renew(document)
    assert list(elsewhere.iterdir()) == []
