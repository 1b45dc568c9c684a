"""The ARNs of resources, and back."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Arns:
    """Names resources of one account and region.

    SageMaker keeps the case of a name in its ARN, and has compared ARNs by it since April 2023;
    until then ARNs had names in lower case.
    """

    region: str
    account: str

    def of(self, kind: str, name: str) -> str:
        """The ARN of a resource, `kind` as in the ARN: training-job, endpoint-config, ..."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name}"

    def resource(self, kind: str, arn_or_name: str) -> str:
        """The ARN of what a request names in either way; an ARN stays as it was given."""
        return arn_or_name if is_arn(arn_or_name) else self.of(kind, arn_or_name)

    def name(self, kind: str, arn_or_name: str) -> str | None:
        """The name of what a request names in either way; a version stays in it.

        None for the ARN of another kind, region or account: nothing here is found by it.
        """
        if not is_arn(arn_or_name):
            return arn_or_name
        own = self.of(kind, "")
        return arn_or_name.removeprefix(own) if arn_or_name.startswith(own) else None

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


def is_arn(text: str) -> bool:
    """Whether a request gives an ARN where it may give a name as well."""
    return text.startswith("arn:")
