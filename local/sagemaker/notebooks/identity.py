"""Who may use a notebook's JupyterLab: this runs within it, as its identity provider.

A browser comes with the token of a presigned URL and leaves with a cookie that ends when the
session does; the token has opened all that it ever opens, and stands neither in the address nor in
a page. What runs in the notebook itself finds the server's own token where Jupyter keeps it, in its
runtime folder, which is the notebook owner's alone.
"""

import json
import os
import secrets
import time
import weakref
from typing import Any
from urllib.parse import parse_qsl, urlencode

from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.base.handlers import JupyterHandler
from tornado import escape, web
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketHandler
from traitlets import default

from local.sagemaker.notebooks import sessions

SECRET = "SMP_NOTEBOOK_SESSION_SECRET"  # noqa: S105 (the name of the variable that holds it)
# Kernels and terminals inherit the environment, and have no need of it.
_secret = os.environ.pop(SECRET, "")
_USER = "ec2-user"
_TOKEN = "authToken"  # noqa: S105 (the name of the parameter)


class _SessionUser(User):
    """A person whose session ends at a moment, in epoch seconds."""

    ends: float = 0.0


class SessionIdentityProvider(IdentityProvider):
    """Lets in who has a presigned URL's token, its session's cookie, or the server's own token."""

    def __init__(self, **given: object) -> None:
        super().__init__(**given)
        # Each token that was used, until nobody could use it any more.
        self._used: dict[str, float] = {}
        settings = getattr(self.parent, "tornado_settings", None)
        if settings is not None:
            settings["page_config_hook"] = _without_token
            settings["xsrf_cookie_kwargs"] = {"samesite": "Strict"}

    @default("token")
    def _own_token(self) -> str:
        # Jupyter prints a token that it generated itself, into a log that others may read.
        return secrets.token_hex(24)

    async def get_user_token(self, handler: web.RequestHandler) -> User | None:
        """The person whom a token of the request names.

        A presigned URL's is exchanged for a cookie, and the browser sent on without it.
        """
        given = handler.get_query_argument(_TOKEN, "")
        if not given:
            return await super().get_user_token(handler)
        user = self._exchange(given)
        if user is None or handler.request.method != "GET":
            return None
        self.set_login_cookie(handler, user)
        _send_on(handler)
        raise web.Finish

    def get_user_cookie(self, handler: web.RequestHandler) -> User | None:
        """The person of the request's cookie; what stays open is closed when the session ends."""
        found: Any = super().get_user_cookie(handler)
        if isinstance(found, _SessionUser) and isinstance(handler, WebSocketHandler):
            _close_at(handler, found.ends)
        return found if isinstance(found, _SessionUser) else None

    def set_login_cookie(self, handler: web.RequestHandler, user: User) -> None:
        """Give a browser the cookie of its session; who shows the server's own token needs none."""
        if isinstance(user, _SessionUser):
            handler.set_secure_cookie(
                self.get_cookie_name(handler),
                self.user_to_cookie(user),
                expires_days=None,
                expires=user.ends,
                httponly=True,
                samesite="Strict",
                path=str(getattr(handler, "base_url", "/")),
            )

    def user_to_cookie(self, user: User) -> str:
        """The content of a session's cookie; Jupyter signs it."""
        ends = getattr(user, "ends", 0.0)
        return json.dumps({"username": user.username, "ends": ends})

    def user_from_cookie(self, cookie_value: str) -> User | None:
        """The person of a session that has not ended."""
        known = json.loads(cookie_value)
        if known["ends"] <= time.time():
            return None
        user = _SessionUser(username=known["username"])
        user.ends = known["ends"]
        return user

    def _exchange(self, token: str) -> _SessionUser | None:
        """Open the session of a token, the first time that it is shown."""
        now = time.time()
        seconds = sessions.session_seconds(_secret, token, now)
        self._used = {used: until for used, until in self._used.items() if until > now}
        if seconds is None or token in self._used:
            return None
        self._used[token] = sessions.opens_until(token)
        user = _SessionUser(username=_USER)
        user.ends = now + seconds
        return user


def _send_on(handler: web.RequestHandler) -> None:
    """Send a browser to the same address without the token."""
    query = [(name, value) for name, value in parse_qsl(handler.request.query) if name != _TOKEN]
    # As a path of this server, whatever it begins with: //host would be another's.
    address = "/" + handler.request.path.lstrip("/") + (f"?{urlencode(query)}" if query else "")
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Referrer-Policy", "no-referrer")
    if handler.request.headers.get("Sec-Fetch-Site") != "cross-site":
        handler.redirect(address)
        return
    # After a link on another site's page, a redirection would not be given the cookie.
    handler.set_header("Content-Type", "text/html; charset=utf-8")
    target = escape.xhtml_escape(address)
    handler.finish(f'<!doctype html><meta http-equiv="refresh" content="0;url={target}">')


def _close_at(handler: WebSocketHandler, ends: float) -> None:
    """Close a connection when its session ends; one that is closed by then is forgotten."""
    reference = weakref.ref(handler)

    def close() -> None:
        connected = reference()
        if connected is not None and connected.ws_connection is not None:
            connected.close(1008, "The session has ended.")

    IOLoop.current().call_later(max(ends - time.time(), 0), close)


def _without_token(_: web.RequestHandler, page: dict[str, Any]) -> dict[str, Any]:
    return {**page, "token": ""}


_handlers: Any = JupyterHandler
_namespace: Any = _handlers.template_namespace


def _namespace_without_token(handler: JupyterHandler) -> dict[str, Any]:
    names: dict[str, Any] = _namespace.fget(handler)
    return {**names, "token": ""}


# Of Jupyter's own pages, too, none shows the server's token.
_handlers.template_namespace = property(_namespace_without_token)
