"""Where everything of an environment is kept."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from environments.model import Environment
from sagemaker_constructs.buckets import Buckets
from sagemaker_constructs.key import PlatformKey
from stacks.platform import PlatformStack


class StorageStack(PlatformStack):
    """The key and the buckets: the only stack whose loss is loss of data."""

    key: kms.IKey
    data: s3.IBucket
    models: s3.IBucket

    def __init__(self, scope: Construct, *, config: Environment) -> None:
        super().__init__(scope, "storage", config=config)
        removal = RemovalPolicy.RETAIN if config.storage.retain else RemovalPolicy.DESTROY
        self.key = PlatformKey(
            self, "Key", alias=config.resource_name("key"), removal_policy=removal
        ).key
        buckets = Buckets(
            self,
            "Buckets",
            key=self.key,
            log_retention=Duration.days(config.governance.log_retention_days),
            removal_policy=removal,
        )
        self.data, self.models = buckets.data, buckets.models
        self.publish("KeyArn", "storage/key-arn", self.key.key_arn)
        self.publish("DataBucket", "storage/data-bucket", self.data.bucket_name)
        self.publish("ModelsBucket", "storage/models-bucket", self.models.bucket_name)
