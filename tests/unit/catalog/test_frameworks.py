import pytest

from algorithms.catalog import registry
from algorithms.catalog.frameworks import FRAMEWORKS, other, resolve

REGISTRY = "683313688378.dkr.ecr.us-east-1.amazonaws.com"
DEEP = "763104351884.dkr.ecr.us-west-2.amazonaws.com"


@pytest.mark.parametrize(
    ("uri", "framework", "version", "python", "trains", "serves"),
    [
        (f"{REGISTRY}/sagemaker-scikit-learn:1.2-1-cpu-py3", "scikit-learn", "1.2-1", "3", 1, 1),
        (f"{REGISTRY}/sagemaker-scikit-learn:0.20.0-cpu-py3", "scikit-learn", "0.20.0", "3", 1, 1),
        (f"{REGISTRY}/sagemaker-scikit-learn:1.4-2", "scikit-learn", "1.4-2", "", 1, 1),
        (f"{REGISTRY}/sagemaker-xgboost:3.0-5", "xgboost", "3.0-5", "", 1, 1),
        (f"{REGISTRY}/sagemaker-xgboost:0.90-1-cpu-py3", "xgboost", "0.90-1", "3", 1, 1),
        (f"{DEEP}/pytorch-training:2.3.0-cpu-py311", "pytorch", "2.3.0", "311", 1, 0),
        (f"{DEEP}/pytorch-training:2.1.0-gpu-py310-cu121-ubuntu20.04-sagemaker-v1.2",
         "pytorch", "2.1.0", "310", 1, 0),
        (f"{DEEP}/pytorch-inference:1.3.1-cpu-py2", "pytorch", "1.3.1", "2", 0, 1),
        (f"{DEEP}/pytorch-inference@sha256:{64 * '0'}", "pytorch", "", "", 0, 1),
    ],
)  # fmt: skip
def test_an_image_says_its_framework_version_and_purpose(
    uri: str, framework: str, version: str, python: str, trains: int, serves: int
) -> None:
    found = resolve(uri)
    assert found is not None
    assert (found.framework.name, found.version, found.python) == (framework, version, python)
    assert (found.trains, found.serves) == (bool(trains), bool(serves))


@pytest.mark.parametrize(
    "uri",
    [
        "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1",
        # Of another account, and of an account that AWS has in another region.
        "000000000000.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1",
        "683313688378.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1",
        f"{DEEP}/pytorch-inference-graviton:2.3.0-cpu-py311",
        "sagemaker-scikit-learn:1.2-1",
    ],
)
def test_other_images_have_no_framework_whose_scripts_run(uri: str) -> None:
    assert resolve(uri) is None


@pytest.mark.parametrize(
    ("uri", "title"),
    [
        (f"{DEEP}/tensorflow-training:2.14.1-cpu-py310", "TensorFlow"),
        (f"{DEEP}/huggingface-pytorch-inference:2.1.0-cpu-py310", "Hugging Face"),
        (f"{DEEP}/pytorch-inference-graviton:2.3.0-cpu-py311", "PyTorch with hardware of its own"),
        ("785573368785.dkr.ecr.us-east-1.amazonaws.com/sagemaker-tritonserver:24.09-py3",
         "Triton Inference Server"),
        ("111122223333.dkr.ecr.us-east-1.amazonaws.com/tensorflow-mine:1", ""),
        ("tensorflow/tensorflow:latest", ""),
    ],
)  # fmt: skip
def test_what_another_image_of_aws_has_is_named(uri: str, title: str) -> None:
    assert other(uri) == title


def test_every_framework_has_accounts_in_the_regions_of_aws() -> None:
    for framework in FRAMEWORKS:
        assert len(registry.regions(framework.registry)) >= 37
