"""The ARNs of resources, and back."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Arns:
    """Names resources of one account and region; SageMaker writes names in lower case in ARNs."""

    region: str
    account: str

    def of(self, kind: str, name: str) -> str:
        """The ARN of a resource, `kind` as in the ARN: training-job, endpoint-config, ..."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name.lower()}"

    def name(self, arn_or_name: str) -> str:
        """The name within an ARN of a resource, or the name itself; a version stays in it."""
        if arn_or_name.startswith("arn:"):
            return arn_or_name.split(":", 5)[5].split("/", 1)[-1]
        return arn_or_name

    def kind(self, arn: str) -> str:
        """The kind within an ARN."""
        return arn.split(":", 5)[-1].split("/", 1)[0]

    def repository(self, image: str) -> str:
        """The ARN of the ECR repository that an image URI names."""
        registry, _, rest = image.partition("/")
        account, _, region = registry.partition(".dkr.ecr.")
        name = rest.partition("@")[0]
        if ":" in name.rpartition("/")[2]:
            name = name.rpartition(":")[0]
        return f"arn:aws:ecr:{region.partition('.')[0]}:{account}:repository/{name}"

    def key(self, key_id: str) -> str:
        """The ARN of a KMS key or alias that is named in any of the four ways."""
        if key_id.startswith("arn:"):
            return key_id
        path = key_id if key_id.startswith("alias/") else f"key/{key_id}"
        return f"arn:aws:kms:{self.region}:{self.account}:{path}"
