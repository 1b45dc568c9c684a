import json
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk.assertions import Match, Template

from environments.model import Environment
from stacks.storage import StorageStack


@pytest.fixture(scope="module")
def template(templates: dict[str, Template]) -> Template:
    return templates["storage"]


def _buckets(template: Template) -> dict[str, Any]:
    return dict(template.find_resources("AWS::S3::Bucket"))


def test_every_bucket_is_private_versioned_and_tidied(template: Template) -> None:
    assert len(_buckets(template)) == 3
    for name, bucket in _buckets(template).items():
        properties = bucket["Properties"]
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}, name
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}, name
        rules = properties["LifecycleConfiguration"]["Rules"]
        assert any("NoncurrentVersionExpiration" in rule for rule in rules), name
        assert any(rule.get("ExpiredObjectDeleteMarker") for rule in rules), name


def test_every_bucket_refuses_a_connection_without_tls(template: Template) -> None:
    for bucket in _buckets(template):
        template.has_resource_properties(
            "AWS::S3::BucketPolicy",
            {
                "Bucket": {"Ref": bucket},
                "PolicyDocument": {
                    "Statement": Match.array_with(
                        [
                            Match.object_like(
                                {
                                    "Effect": "Deny",
                                    "Action": "s3:*",
                                    "Principal": {"AWS": "*"},
                                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                                }
                            )
                        ]
                    )
                },
            },
        )


@pytest.mark.parametrize("kind", ["Data", "Models"])
def test_data_and_models_are_encrypted_and_watched(template: Template, kind: str) -> None:
    (bucket,) = (b for n, b in _buckets(template).items() if n.startswith(f"Buckets{kind}"))
    (rule,) = bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert rule["BucketKeyEnabled"] is True
    assert bucket["Properties"]["LoggingConfiguration"]["LogFilePrefix"] == f"{kind.lower()}/"


def test_models_never_expire_by_themselves(template: Template) -> None:
    (bucket,) = (b for n, b in _buckets(template).items() if n.startswith("BucketsModels"))
    for rule in bucket["Properties"]["LifecycleConfiguration"]["Rules"]:
        assert "ExpirationInDays" not in rule


def test_the_key_rotates(template: Template) -> None:
    template.has_resource_properties("AWS::KMS::Key", {"EnableKeyRotation": True})


def test_the_key_lets_in_only_the_account_and_two_services_for_it(template: Template) -> None:
    (key,) = template.find_resources("AWS::KMS::Key").values()
    root, *services = key["Properties"]["KeyPolicy"]["Statement"]
    assert json.dumps(root["Principal"]).endswith(':iam::111122223333:root"}')
    assert {str(s["Principal"]["Service"]) for s in services} == {
        "logs.eu-west-1.amazonaws.com",
        "cloudwatch.amazonaws.com",
    }
    for statement in services:
        assert "111122223333" in json.dumps(statement["Condition"])


def test_data_outlives_its_stack_unless_the_environment_says_otherwise(
    app: App, template: Template, environment: dict[str, Any]
) -> None:
    assert _deletion(template) == {"Retain"}
    gone = Environment.model_validate({**environment, "storage": {"retain": False}})
    assert _deletion(Template.from_stack(StorageStack(app, config=gone))) == {"Delete"}


def _deletion(template: Template) -> set[str]:
    kinds = ("AWS::S3::Bucket", "AWS::KMS::Key")
    return {r["DeletionPolicy"] for kind in kinds for r in template.find_resources(kind).values()}


@pytest.mark.parametrize("name", ["data-bucket", "models-bucket", "key-arn"])
def test_publishes_what_others_look_up(template: Template, name: str) -> None:
    template.has_resource_properties(
        "AWS::SSM::Parameter", {"Name": f"/sagemaker-platform/test/storage/{name}"}
    )
