import json
from pathlib import Path
from typing import Any, cast

from local.cli import digits
from local.cli.aws import Aws
from local.platform.home import CHECKOUT


class Bucket:
    """A data bucket that keeps what it is given."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.s3 = self

    def parameter(self, name: str) -> str:
        return name.partition("/")[2]

    def put_object(self, *, Key: str, **_: Any) -> None:
        self.keys.append(Key)

    def list_objects_v2(self, *, Prefix: str, **_: Any) -> dict[str, int]:
        return {"KeyCount": sum(key.startswith(Prefix) for key in self.keys)}


def test_what_every_shipped_request_trains_on_is_brought_once() -> None:
    bucket = Bucket()
    for _ in range(2):
        digits.bring_missing(cast("Aws", bucket))
    assert len(bucket.keys) == 3
    for path in Path(CHECKOUT / "docs/examples").glob("*.json"):
        for channel in json.loads(path.read_text())["channels"].values():
            prefix = channel["s3_uri"].removeprefix("s3://{data_bucket}/")
            assert any(key.startswith(prefix) for key in bucket.keys), (path.name, prefix)


def test_a_part_that_is_missing_is_brought() -> None:
    bucket = Bucket()
    bucket.keys.append("digits/train/digits.csv")
    digits.bring_missing(cast("Aws", bucket))
    assert "digits/clusters/digits.csv" in bucket.keys
