"""The account's root key: random, of one server process, and in no environment.

ministack takes `test`, any account's number and no key at all for root, and derives the credentials
of functions from their names. Here root is one random key that never leaves this process, and
credentials of functions are derived with a secret of this process.
"""

import functools
import hashlib
import hmac
import secrets
import sys
from collections.abc import Callable
from typing import Any

from local.emulator.environment import ROOT_ACCESS_KEY, ROOT_SECRET_KEY

_FUNCTIONS = secrets.token_bytes(32)


def install() -> None:
    """Let one key be root, and nobody guess a function's."""
    from ministack.core import iam_evaluator, lambda_runtime

    resolve = iam_evaluator.resolve_credential
    credentials = lambda_runtime.execution_credentials

    def is_root(access_key_id: str) -> bool:
        return access_key_id == ROOT_ACCESS_KEY

    @functools.wraps(resolve)
    def resolved(access_key_id: str, account_id: str | None = None, *token: Any, **kw: Any) -> Any:
        if access_key_id != ROOT_ACCESS_KEY:
            return resolve(access_key_id, account_id, *token, **kw)
        return _root(account_id)

    @functools.wraps(credentials)
    def of_function(config: dict[str, Any]) -> dict[str, str]:
        return _unguessable(credentials(config))

    replace_everywhere(iam_evaluator.is_root_access_key, is_root)
    replace_everywhere(resolve, resolved)
    replace_everywhere(credentials, of_function)


def replace_everywhere(function: Callable[..., Any], replacement: Callable[..., Any]) -> None:
    """Replace a function of ministack in every module that has imported it."""
    for name, module in [*sys.modules.items()]:
        if name == "ministack" or name.startswith("ministack."):
            for attribute, value in [*vars(module).items()]:
                if value is function:
                    setattr(module, attribute, replacement)


def _root(account: str | None) -> Any:
    from ministack.core.iam_evaluator import ResolvedCredential
    from ministack.core.responses import get_account_id

    account = account or get_account_id()
    return ResolvedCredential(
        access_key_id=ROOT_ACCESS_KEY,
        secret_access_key=ROOT_SECRET_KEY,
        account_id=account,
        principal_arn=f"arn:aws:iam::{account}:root",
        principal_id=account,
        principal_type="Root",
        source_access_key_id=ROOT_ACCESS_KEY,
    )


def _unguessable(made: dict[str, str]) -> dict[str, str]:
    """The session of a function under another key than the one that its name gives away."""
    from ministack.services import sts

    session = sts._sessions.pop(made["AWS_ACCESS_KEY_ID"])
    key, secret, token = (
        hmac.new(_FUNCTIONS, f"{part}:{made['AWS_ACCESS_KEY_ID']}".encode(), hashlib.sha256)
        for part in ("key", "secret", "token")
    )
    found = {
        "AWS_ACCESS_KEY_ID": f"ASIA{key.hexdigest()[:16].upper()}",
        "AWS_SECRET_ACCESS_KEY": secret.hexdigest(),
        "AWS_SESSION_TOKEN": token.hexdigest(),
    }
    session |= {
        "SecretAccessKey": found["AWS_SECRET_ACCESS_KEY"],
        "SessionToken": found["AWS_SESSION_TOKEN"],
    }
    sts.register_session(found["AWS_ACCESS_KEY_ID"], session)
    return found
