"""The administrator of the local account: a user that the server makes when it first starts.

Root is a random key of the server's process, and nobody else's. Someone who administers a real
account is a user or a role, to whom bucket and key policies apply; so is this one.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3

from local.platform.errors import PlatformError
from local.platform.home import REGION, Home
from local.platform.record import broken, read_object

SDK_SETTINGS = Path(__file__).with_name("sagemaker_sdk.yaml")


@dataclass(frozen=True)
class Credentials:
    """An access key."""

    access_key: str
    secret_key: str

    def session(self) -> boto3.Session:
        """A boto3 session with this key."""
        return boto3.Session(
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
        )

    def variables(self, url: str) -> dict[str, str]:
        """The variables that point any AWS tool at the platform with this key."""
        return {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            # A laptop is no EC2 instance: without this, a missing key costs a wait of seconds.
            "AWS_EC2_METADATA_DISABLED": "true",
            # A profile there may name an endpoint, demand a second factor or ignore the endpoint.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(SDK_SETTINGS),
        }


def load(home: Home) -> Credentials | None:
    """The administrator's key; None before there is one.

    Raises:
        PlatformError: The file that holds it is not as smp writes it.
    """
    return _read(home.credentials)


def load_made(home: Home) -> Credentials:
    """The administrator's key, which a server that answers has written.

    Raises:
        PlatformError: It has not.
    """
    found = load(home)
    if found is None:
        raise PlatformError(
            "find the administrator's key",
            f"The server answers, and {home.credentials} holds no key.",
            "End it and begin anew with: smp down, then smp up",
        )
    return found


def of_account(home: Home, account: str) -> Credentials | None:
    """The key of a further account's administrator, as it was kept; None before there is one."""
    return _read(_place(home, account))


def keep(home: Home, account: str, key: Credentials) -> None:
    """Keep the key of a further account's administrator."""
    path = _place(home, account)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    home.write_secret(path, json.dumps(asdict(key)))


def _place(home: Home, account: str) -> Path:
    return home.path / "accounts" / f"{account}.json"


def _read(path: Path) -> Credentials | None:
    document = read_object(path)
    if document is None:
        return None
    for name in (wanted := ("access_key", "secret_key")):
        if not isinstance(document.get(name), str) or not document[name]:
            raise broken(path, f"{name} is {type(document.get(name)).__name__}")
    if document.keys() != {*wanted}:
        raise broken(path, f"it has {', '.join(sorted(document.keys() - {*wanted}))}")
    return Credentials(**document)
