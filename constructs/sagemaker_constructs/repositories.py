"""Where the images of the platform's own containers are kept."""

from collections.abc import Iterable

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ecr as ecr
from constructs import Construct

UNTAGGED_DAYS = 7


class Repositories(Construct):
    """One ECR repository an algorithm, whose tags never move and whose images are scanned.

    Nothing but ECR's own encryption: the images are built from open source and hold no data.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        prefix: str,
        names: Iterable[str],
        removal_policy: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        for name in names:
            ecr.Repository(
                self,
                name,
                repository_name=f"{prefix}/{name}",
                image_tag_mutability=ecr.TagMutability.IMMUTABLE,
                image_scan_on_push=True,
                encryption=ecr.RepositoryEncryption.AES_256,
                empty_on_delete=removal_policy == RemovalPolicy.DESTROY,
                removal_policy=removal_policy,
                lifecycle_rules=[
                    ecr.LifecycleRule(
                        description="Images that lost their tag serve nobody",
                        tag_status=ecr.TagStatus.UNTAGGED,
                        max_image_age=Duration.days(UNTAGGED_DAYS),
                    )
                ],
            )
