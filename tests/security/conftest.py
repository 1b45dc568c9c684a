"""Keys of the shared platform, as attackers would and would not have them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from tests.platform import LocalPlatform


@dataclass(frozen=True)
class Key:
    """An access key, or what is said to be one."""

    access_key: str
    secret_key: str


@pytest.fixture(scope="session")
def stranger(platform: LocalPlatform) -> Iterator[Key]:
    """A user of the account who may do nothing."""
    iam, name = platform.client("iam"), f"stranger-{uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    yield Key(made["AccessKeyId"], made["SecretAccessKey"])
    iam.delete_access_key(UserName=name, AccessKeyId=made["AccessKeyId"])
    iam.delete_user(UserName=name)


@pytest.fixture(scope="session")
def other_account(platform: LocalPlatform) -> dict[str, str]:
    """The variables of a further account's administrator."""
    result = platform.smp("env", "--account", "111122223333", "--format", "json")
    assert result.returncode == 0, result.stderr
    found: dict[str, str] = json.loads(result.stdout)
    return found
