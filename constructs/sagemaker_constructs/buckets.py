"""The buckets of one environment."""

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Validations
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

NONCURRENT_DAYS = 90
CAPTURE_DAYS = 90


class Buckets(Construct):
    """Three buckets: training data, models, and who read or wrote either.

    All are versioned, private and refuse a connection without TLS. Data and models are encrypted
    with `key`.
    """

    data: s3.Bucket
    """Training data; what endpoints capture lies under `capture/`."""

    models: s3.Bucket
    """Models and everything that led to them, a prefix a job."""

    logs: s3.Bucket
    """Access logs of the other two."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        key: kms.IKey,
        log_retention: Duration,
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        tidy = s3.LifecycleRule(
            id="tidy",
            abort_incomplete_multipart_upload_after=Duration.days(7),
            noncurrent_version_expiration=Duration.days(NONCURRENT_DAYS),
            # The last that is left of an object whose versions are all gone.
            expired_object_delete_marker=True,
        )
        self.logs = s3.Bucket(
            self,
            "Logs",
            versioned=True,
            # S3 delivers access logs only to a bucket that it encrypts with its own key.
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[tidy, s3.LifecycleRule(id="expire", expiration=log_retention)],
            removal_policy=removal_policy,
        )
        Validations.of(self.logs).acknowledge(
            Acknowledgment(
                id="AwsSolutions-S1",
                reason="It holds the access logs; logging their delivery into itself never ends.",
            )
        )
        self.data = self._encrypted(
            "Data",
            key,
            removal_policy,
            [
                tidy,
                s3.LifecycleRule(
                    id="captured", prefix="capture/", expiration=Duration.days(CAPTURE_DAYS)
                ),
            ],
        )
        self.models = self._encrypted("Models", key, removal_policy, [tidy])

    def _encrypted(
        self, id: str, key: kms.IKey, removal_policy: RemovalPolicy, rules: list[s3.LifecycleRule]
    ) -> s3.Bucket:
        return s3.Bucket(
            self,
            id,
            versioned=True,
            encryption=s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            server_access_logs_bucket=self.logs,
            server_access_logs_prefix=f"{id.lower()}/",
            lifecycle_rules=rules,
            removal_policy=removal_policy,
        )
