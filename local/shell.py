"""The shell that smp is called from: what in it would lead calls elsewhere than to the platform.

The one place that knows which variables these are. AWS's clients read some dozens, and new ones
come: all that begin with AWS_ name an account, a key, an endpoint or a region, except for those
that only say how a client shows or repeats something. A proxy is needed to reach other machines,
and never for this one.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

LOOPBACK = ("127.0.0.1", "localhost")
_PREFIX = "AWS_"
# What a shell can take out; at any other name it would end.
_NAME = re.compile(r"AWS_[A-Za-z0-9_]+")
# How clients show, repeat and report; where they go and as whom stays the same.
_PREFERENCES = (
    "AWS_CLI_",
    "AWS_DATA_PATH",
    "AWS_DEFAULT_OUTPUT",
    "AWS_MAX_ATTEMPTS",
    "AWS_PAGER",
    "AWS_RETRY_MODE",
    "AWS_SDK_UA_APP_ID",
)
# Left over in shells more often than others: taken out even of a shell that is not this one's
# parent, as where the output of `smp env` is kept in a file.
_LEFT_OVER = (
    "AWS_CA_BUNDLE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    # Of a session that is over: botocore would hold it against the platform's key.
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_DEFAULT_PROFILE",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_SAGEMAKER",
    "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)
# Programs read either, and the lower-case one first.
_BYPASS = ("NO_PROXY", "no_proxy")

_found: dict[str, str] = {}


def of_aws(environment: Iterable[str]) -> list[str]:
    """The variables that AWS's clients read."""
    return sorted(name for name in environment if name.startswith(_PREFIX))


def misleading(environment: Iterable[str]) -> list[str]:
    """The variables by which a client could miss the platform: those set here, and the usual."""
    here = [
        name
        for name in of_aws(environment)
        if _NAME.fullmatch(name) and not name.startswith(_PREFERENCES)
    ]
    return sorted({*here, *_LEFT_OVER})


def bypass(environment: Mapping[str, str]) -> dict[str, str]:
    """What makes every program reach this machine without a proxy, beside what is there already."""
    hosts: list[str] = []
    for name in _BYPASS:
        # Curl takes blanks for commas.
        for host in environment.get(name, "").replace(",", " ").split():
            if host not in hosts:
                hosts.append(host)
    # A star means all hosts as long as it stands alone.
    text = "*" if "*" in hosts else ",".join([*hosts, *(x for x in LOOPBACK if x not in hosts)])
    return dict.fromkeys(_BYPASS, text)


def cleaned(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what AWS's clients read, and without a proxy to this machine."""
    kept = {name: value for name, value in environment.items() if not name.startswith(_PREFIX)}
    return kept | bypass(environment)


@contextmanager
def set_aside() -> Iterator[None]:
    """Clean this process's own environment for the block; `found` has what was there."""
    before = dict(os.environ)
    _found.clear()
    _found.update(before)
    _become(cleaned(before))
    try:
        yield
    finally:
        _become(before)
        _found.clear()


def found() -> dict[str, str]:
    """The environment as the shell has it."""
    return dict(_found or os.environ)


def give_back() -> None:
    """Take the shell's variables of AWS up again, for calls of a person's own account."""
    os.environ.update({name: _found[name] for name in of_aws(_found)})


def _become(wanted: Mapping[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
