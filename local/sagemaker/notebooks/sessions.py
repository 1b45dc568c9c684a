"""The tokens of presigned URLs, made by the service and read within JupyterLab.

JupyterLab's own token opens it for ever; a presigned URL opens it for minutes, and what it opens
closes after the session that was asked for. Both sides share a secret of this start of the
notebook, and this module, which imports nothing else for JupyterLab's sake.
"""

import hashlib
import hmac
import secrets


def token(secret: str, *, opens_until: float, session_seconds: int) -> str:
    """Make a token that opens a session until a moment, in epoch seconds."""
    content = f"{int(opens_until)}.{session_seconds}.{secrets.token_hex(8)}"
    return f"{content}.{_signature(secret, content)}"


def session_seconds(secret: str, given: str, now: float) -> int | None:
    """How long the session lasts that a token opens; None for one that opens nothing, or not now.

    An empty secret opens nothing.
    """
    content, _, signature = given.rpartition(".")
    if not secret or not hmac.compare_digest(
        _signature(secret, content).encode(), signature.encode()
    ):
        return None
    opens_until, seconds, _ = content.split(".")
    return int(seconds) if now < int(opens_until) else None


def opens_until(given: str) -> float:
    """Until when a token opens a session, in epoch seconds; of one that was made here."""
    return float(given.split(".")[0])


def _signature(secret: str, content: str) -> str:
    return hmac.new(secret.encode(), content.encode(), hashlib.sha256).hexdigest()
