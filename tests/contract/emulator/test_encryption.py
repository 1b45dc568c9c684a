import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .conftest import ACCOUNT, Server, allow

BUCKET = "enc-bucket"
OBJECTS = allow("s3:PutObject", "s3:GetObject", on=f"arn:aws:s3:::{BUCKET}/*")


@pytest.fixture(scope="module")
def key(server: Server) -> Iterator[str]:
    arn = server.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_encryption(
        Bucket=BUCKET,
        ServerSideEncryptionConfiguration={
            "Rules": [
                {
                    "ApplyServerSideEncryptionByDefault": {
                        "SSEAlgorithm": "aws:kms",
                        "KMSMasterKeyID": arn,
                    }
                }
            ]
        },
    )
    yield arn


@pytest.fixture
def as_role(server: Server, key: str, request: pytest.FixtureRequest) -> Any:
    name = "enc-" + request.node.name.replace("_", "-")[-40:]
    server.role(name, "", OBJECTS, trust=f"arn:aws:iam::{ACCOUNT}:root")

    def client(service: str, *statements: dict[str, Any]) -> Any:
        server.allow(name, OBJECTS, *statements)
        return server.assumed(service, name)

    return client


def test_putting_needs_a_data_key_and_getting_needs_to_decrypt(as_role: Any, key: str) -> None:
    with pytest.raises(ClientError, match=r"kms:GenerateDataKey on resource: arn:aws:kms"):
        as_role("s3").put_object(Bucket=BUCKET, Key="k", Body=b"1")
    as_role("s3", allow("kms:GenerateDataKey", on=key)).put_object(
        Bucket=BUCKET, Key="k", Body=b"1"
    )
    with pytest.raises(ClientError, match="kms:Decrypt"):
        as_role("s3", allow("kms:GenerateDataKey", on=key)).get_object(Bucket=BUCKET, Key="k")
    found = as_role("s3", allow("kms:Decrypt", on=key)).get_object(Bucket=BUCKET, Key="k")
    assert found["Body"].read() == b"1"
    assert found["SSEKMSKeyId"] == key


def test_the_service_through_which_a_key_is_used_is_a_condition_key(as_role: Any, key: str) -> None:
    via = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    s3 = as_role("s3", allow("kms:GenerateDataKey", on=key, **via))
    s3.put_object(Bucket=BUCKET, Key="via", Body=b"1")
    other = {"StringEquals": {"kms:ViaService": "sqs.us-east-1.amazonaws.com"}}
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        as_role("s3", allow("kms:GenerateDataKey", on=key, **other)).put_object(
            Bucket=BUCKET, Key="via", Body=b"1"
        )


def test_an_object_put_with_kms_and_no_key_takes_the_buckets(server: Server, key: str) -> None:
    s3 = server.client("s3")
    s3.put_object(Bucket=BUCKET, Key="none", Body=b"1", ServerSideEncryption="aws:kms")
    assert s3.head_object(Bucket=BUCKET, Key="none")["SSEKMSKeyId"] == key


def test_a_multipart_upload_needs_both(as_role: Any, key: str) -> None:
    s3 = as_role("s3", allow("kms:GenerateDataKey", on=key))
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="parts")["UploadId"]
    with pytest.raises(ClientError, match="kms:Decrypt"):
        s3.upload_part(Bucket=BUCKET, Key="parts", UploadId=upload, PartNumber=1, Body=b"1")
    s3 = as_role("s3", allow("kms:GenerateDataKey", "kms:Decrypt", on=key))
    tag = s3.upload_part(Bucket=BUCKET, Key="parts", UploadId=upload, PartNumber=1, Body=b"1")
    s3.complete_multipart_upload(
        Bucket=BUCKET,
        Key="parts",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag["ETag"]}]},
    )


def test_publishing_to_an_encrypted_topic_needs_its_key(
    server: Server, as_role: Any, key: str
) -> None:
    topic = server.client("sns").create_topic(Name="enc-topic", Attributes={"KmsMasterKeyId": key})[
        "TopicArn"
    ]
    publish = allow("sns:Publish", on=topic)
    with pytest.raises(ClientError, match="kms:GenerateDataKey"):
        as_role("sns", publish).publish(TopicArn=topic, Message="m")
    as_role("sns", publish, allow("kms:GenerateDataKey", "kms:Decrypt", on=key)).publish(
        TopicArn=topic, Message="m"
    )


def test_reading_an_encrypted_table_needs_its_key(server: Server, as_role: Any, key: str) -> None:
    server.client("dynamodb").create_table(
        TableName="enc-table",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key},
    )
    read = allow("dynamodb:GetItem")
    wanted = {"TableName": "enc-table", "Key": {"k": {"S": "1"}}}
    with pytest.raises(ClientError, match="kms:Decrypt"):
        as_role("dynamodb", read).get_item(**wanted)
    as_role("dynamodb", read, allow("kms:Decrypt", on=key)).get_item(**wanted)


def test_the_keys_own_policy_takes_part(server: Server, as_role: Any, key: str) -> None:
    kms = server.client("kms")
    before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    closed = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": {"AWS": "*"},
                "Action": "kms:GenerateDataKey",
                "Resource": "*",
                "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/enc-*"}},
            },
            *json.loads(before)["Statement"],
        ],
    }
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(closed))
    try:
        with pytest.raises(ClientError, match="kms:GenerateDataKey"):
            as_role("s3", allow("kms:*", on=key)).put_object(Bucket=BUCKET, Key="k", Body=b"1")
    finally:
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=before)


def test_a_bucket_that_demands_tls_takes_calls_over_loopback(server: Server) -> None:
    s3 = server.client("s3")
    s3.create_bucket(Bucket="enc-tls")
    statement = {
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": "s3:*",
        "Resource": "arn:aws:s3:::enc-tls/*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(
        Bucket="enc-tls", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    server.role("enc-tls-user", "", allow("s3:PutObject"), trust=f"arn:aws:iam::{ACCOUNT}:root")
    server.assumed("s3", "enc-tls-user").put_object(Bucket="enc-tls", Key="k", Body=b"1")
