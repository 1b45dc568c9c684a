import pytest

from jobs.settings import Defaults, Platform


@pytest.fixture
def platform() -> Platform:
    return Platform(
        environment_name="dev",
        region="eu-west-1",
        execution_role_arn="arn:aws:iam::111122223333:role/execution",
        key_arn="arn:aws:kms:eu-west-1:111122223333:key/1",
        models_bucket="models",
        image_registry="111122223333.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-platform-dev",
        groups={"digits": "sagemaker-platform-dev-digits"},
        endpoints={"digits": "sagemaker-platform-dev-endpoint-digits", "pinned": ""},
        defaults=Defaults(("ml.m5.xlarge", "ml.m5.2xlarge"), 30, 3600),
    )
