from typing import Any

import pytest
from ministack.services import s3

from local.emulator import bucket_regions

BODY = (
    "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint>"
    "</CreateBucketConfiguration>"
)


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_location_constraint_error", s3._location_constraint_error)
    bucket_regions.install()


def created(location: str) -> tuple[int, bytes]:
    create: Any = s3._create_bucket
    body = BODY.format(location).encode() if location else b""
    try:
        status, _, answer = create("elsewhere", body, {}, endpoint_region="us-east-1")
    finally:
        s3._buckets.pop("elsewhere", None)
    return status, answer


@pytest.mark.parametrize(("location", "named"), [("eu-west-1", b"eu-west-1"), ("EU", b"eu-west-1")])
def test_a_bucket_of_another_region_is_refused_with_the_region(location: str, named: bytes) -> None:
    status, answer = created(location)
    assert status == 400 and b"IllegalLocationConstraintException" in answer
    assert named in answer and b"buckets in us-east-1 alone" in answer


def test_a_bucket_without_a_location_is_made() -> None:
    assert created("")[0] == 200


def test_what_aws_refuses_of_its_own_region_is_still_refused() -> None:
    status, answer = created("us-east-1")
    assert status == 400 and b"InvalidLocationConstraint" in answer
