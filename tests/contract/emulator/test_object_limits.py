import pytest
from botocore.exceptions import ClientError

from .conftest import Server


def code(caught: pytest.ExceptionInfo[ClientError]) -> str:
    return caught.value.response["Error"]["Code"]


@pytest.mark.parametrize("acl", ["bucket-owner-full-control", "bucket-owner-read"])
def test_a_canned_acl_of_objects_is_ignored_when_a_bucket_is_created(
    server: Server, acl: str
) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket=f"acl-{acl}", ACL=acl)
    grants = s3.get_bucket_acl(Bucket=f"acl-{acl}")["Grants"]
    assert [one["Permission"] for one in grants] == ["FULL_CONTROL"]


def test_a_bucket_without_acls_takes_what_gives_its_owner_all_and_refuses_the_rest(
    server: Server,
) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="enforced")
    s3.put_object(Bucket="enforced", Key="k", ACL="bucket-owner-full-control")
    for acl in ("public-read", "authenticated-read", "aws-exec-read"):
        with pytest.raises(ClientError) as caught:
            s3.put_object(Bucket="enforced", Key="k", ACL=acl)
        assert code(caught) == "AccessControlListNotSupported"
    with pytest.raises(ClientError) as caught:
        s3.put_object_acl(Bucket="enforced", Key="k", ACL="bucket-owner-full-control")
    assert code(caught) == "AccessControlListNotSupported"
    with pytest.raises(ClientError) as caught:
        s3.create_bucket(Bucket="opened", ACL="public-read")
    assert code(caught) == "InvalidBucketAclWithObjectOwnership"


def test_a_request_that_expects_another_owner_of_the_bucket_is_denied(server: Server) -> None:
    s3, other = server.client("s3"), "111122223333"
    s3.create_bucket(Bucket="owned")
    s3.put_object(Bucket="owned", Key="k", ExpectedBucketOwner="000000000000")
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket="owned", Key="k", ExpectedBucketOwner=other)
    assert code(caught) == "AccessDenied"
    with pytest.raises(ClientError) as caught:
        s3.head_bucket(Bucket="owned", ExpectedBucketOwner=other)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError) as caught:
        s3.copy_object(
            Bucket="owned", Key="c", CopySource="owned/k", ExpectedSourceBucketOwner=other
        )
    assert code(caught) == "AccessDenied"
    with pytest.raises(ClientError) as caught:
        s3.get_object(Bucket="owned", Key="k", ExpectedBucketOwner="me")
    assert code(caught) == "InvalidBucketOwnerAWSAccountID"
