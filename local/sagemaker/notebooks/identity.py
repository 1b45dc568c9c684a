"""Who may use a notebook's JupyterLab: this runs within it, as its identity provider.

A browser comes with the token of a presigned URL and leaves with a cookie that ends when the
session does. What runs in the notebook itself finds the server's own token where Jupyter keeps it,
in its runtime folder, which is the notebook owner's alone.
"""

import json
import os
import secrets
import time

from jupyter_server.auth.identity import IdentityProvider, User
from tornado import web
from traitlets import default

from local.sagemaker.notebooks import sessions

SECRET = "SMP_NOTEBOOK_SESSION_SECRET"  # noqa: S105 (the name of the variable that holds it)
# Kernels and terminals inherit the environment, and have no need of it.
_secret = os.environ.pop(SECRET, "")
_USER = "ec2-user"


class _SessionUser(User):
    """A person whose session ends at a moment, in epoch seconds."""

    ends: float = 0.0


class SessionIdentityProvider(IdentityProvider):
    """Lets in who has a presigned URL's token, its session's cookie, or the server's own token."""

    @default("token")
    def _own_token(self) -> str:
        # Jupyter prints a token that it generated itself, into a log that others may read.
        return secrets.token_hex(24)

    async def get_user_token(self, handler: web.RequestHandler) -> User | None:
        """The person whom a token of the request names."""
        given = handler.get_argument("authToken", "")
        if not given:
            return await super().get_user_token(handler)
        now = time.time()
        seconds = sessions.session_seconds(_secret, given, now)
        if seconds is None:
            return None
        user = _SessionUser(username=_USER)
        user.ends = now + seconds
        return user

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
