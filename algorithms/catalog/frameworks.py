"""AWS's images in which a script of one's own runs, and what an image URI says of them."""

import re
from dataclasses import dataclass

from algorithms.catalog import registry

_VERSION = re.compile(r"(?P<version>\d+(?:\.\d+)*(?:-\d+)?)(?=-|$)", re.ASCII)
_PYTHON = re.compile(r"-py(\d+)(?=-|$)", re.ASCII)

# What runs in AWS's other images, by the beginning of their repositories' names.
_OTHERS = {
    "autogluon": "AutoGluon",
    "djl": "Deep Java Library",
    "huggingface": "Hugging Face",
    "mxnet": "Apache MXNet",
    "pytorch": "PyTorch with hardware of its own",
    "sagemaker-base-python": "Base Python",
    "sagemaker-chainer": "Chainer",
    "sagemaker-distribution": "SageMaker Distribution",
    "sagemaker-mxnet": "Apache MXNet",
    "sagemaker-pytorch": "PyTorch before 1.2",
    "sagemaker-rl": "Reinforcement Learning",
    "sagemaker-spark": "Apache Spark",
    "sagemaker-sparkml": "Spark ML Serving",
    "sagemaker-tensorflow": "TensorFlow",
    "sagemaker-tritonserver": "Triton Inference Server",
    "stabilityai": "Stability AI",
    "tensorflow": "TensorFlow",
    "tei": "Text Embeddings Inference",
    "vllm": "vLLM",
}


@dataclass(frozen=True)
class Framework:
    """A framework whose scripts run as processes.

    Args:
        name: as SCRIPT_FRAMEWORK names it.
        title: as people call it.
        module: what its scripts import.
        distributions: the packages that bring the module, any one of them.
        registry: the group of accounts in registries.yaml.
        training: the repository of the images that train.
        serving: the repository of those that serve.
        missing: what to do where it is not installed.
    """

    name: str
    title: str
    module: str
    distributions: tuple[str, ...]
    registry: str
    training: str
    serving: str
    missing: str = "run `make setup`"


FRAMEWORKS = (
    Framework(
        "scikit-learn",
        "scikit-learn",
        "sklearn",
        ("scikit-learn",),
        "xgboost",
        "sagemaker-scikit-learn",
        "sagemaker-scikit-learn",
    ),
    Framework(
        "xgboost",
        "XGBoost",
        "xgboost",
        ("xgboost-cpu", "xgboost"),
        "xgboost",
        "sagemaker-xgboost",
        "sagemaker-xgboost",
    ),
    Framework(
        "pytorch",
        "PyTorch",
        "torch",
        ("torch",),
        "deep-learning",
        "pytorch-training",
        "pytorch-inference",
        missing="run `make deep`, and start the platform again",
    ),
)


@dataclass(frozen=True)
class FrameworkImage:
    """An image of AWS in which scripts run.

    Args:
        framework: what it has.
        version: that of its tag, as `1.2-1` or `2.3.0`; empty where the tag names none.
        python: that of its tag, as `3`, `310` or `2`; empty where the tag names none.
        repository: where it lies.
    """

    framework: Framework
    version: str
    python: str
    repository: str

    @property
    def trains(self) -> bool:
        """Whether it is for training."""
        return self.repository == self.framework.training

    @property
    def serves(self) -> bool:
        """Whether it is for endpoints."""
        return self.repository == self.framework.serving


def resolve(uri: str) -> FrameworkImage | None:
    """The framework that an image of AWS's has; None for every other image."""
    found = registry.parts(uri)
    if found is None:
        return None
    account, region, repository = found
    for framework in FRAMEWORKS:
        accounts = registry.registries().accounts[framework.registry]
        named = repository in {framework.training, framework.serving}
        if named and accounts.get(region) == account:
            tag = _tag(uri)
            version, python = _VERSION.match(tag), _PYTHON.search(tag)
            return FrameworkImage(
                framework,
                version["version"] if version else "",
                python[1] if python else "",
                repository,
            )
    return None


def other(uri: str) -> str:
    """What an image of AWS's has that runs in Docker alone; empty for an image of somebody else."""
    found = registry.parts(uri)
    if found is None:
        return ""
    account, region, repository = found
    groups = registry.registries().accounts.values()
    # Some of AWS's images lie in accounts of their own, under names that nobody else gives.
    if not repository.startswith("sagemaker-") and all(g.get(region) != account for g in groups):
        return ""
    begin = max((name for name in _OTHERS if repository.startswith(name)), key=len, default="")
    return _OTHERS.get(begin, "")


def _tag(uri: str) -> str:
    name, _, _ = uri.partition("@")
    return name.rpartition("/")[2].partition(":")[2]
