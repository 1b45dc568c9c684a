import pytest
from aws_cdk.assertions import Template


@pytest.mark.parametrize("name", ["kmeans", "xgboost"])
def test_every_algorithm_has_a_repository_that_keeps_its_word(
    templates: dict[str, Template], name: str
) -> None:
    templates["images"].has_resource_properties(
        "AWS::ECR::Repository",
        {
            "RepositoryName": f"sagemaker-platform-test/{name}",
            "ImageTagMutability": "IMMUTABLE",
            "ImageScanningConfiguration": {"ScanOnPush": True},
        },
    )
