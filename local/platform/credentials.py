"""The administrator of the local account: a user made when the server starts.

The emulator lets its root keys (`test`, the account's id) pass without a signature and without
evaluating any policy. Someone who administers a real account is a user or a role, to whom bucket
and key policies apply; so is this one, and the root key is used once, to make it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3
from botocore.config import Config

from local.platform.home import REGION, Home

USER = "smp-administrator"
ROOT_KEY = "test"
SDK_SETTINGS = Path(__file__).with_name("sagemaker_sdk.yaml")
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


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
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(SDK_SETTINGS),
        }


def make_administrator(home: Home, url: str) -> Credentials:
    """Make the administrator and keep the key under `home`."""
    iam = (
        Credentials(ROOT_KEY, ROOT_KEY)
        .session()
        .client("iam", endpoint_url=url, config=Config(retries={"max_attempts": 3}))
    )
    try:
        iam.create_user(UserName=USER)
    except iam.exceptions.EntityAlreadyExistsException:
        # An interrupted `up` made the user, and nobody knows the secret of its key any more.
        for old in iam.list_access_keys(UserName=USER)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=USER, AccessKeyId=old["AccessKeyId"])
    iam.put_user_policy(
        UserName=USER, PolicyName="Administrator", PolicyDocument=json.dumps(POLICY)
    )
    key = iam.create_access_key(UserName=USER)["AccessKey"]
    made = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    home.write_secret(home.credentials, json.dumps(asdict(made)))
    return made


def load(home: Home) -> Credentials | None:
    """The administrator's key; None before there is one."""
    try:
        return Credentials(**json.loads(home.credentials.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
