"""The containers of the built-in algorithms: built, pushed, and run as SageMaker runs them."""

import json
from typing import Any
from uuid import uuid4

import pytest

from local.images import contents
from scripts import base_image
from tests import images
from tests.local.support import train
from tests.platform import LocalPlatform

# Pyarrow, scipy and faiss are most of it; the base of the tests has 112 MB.
LARGEST_MEGABYTES = 700
LOADED = """
from algorithms.toolkit import available
from algorithms.toolkit.algorithm import module
from algorithms.toolkit.errors import AlgorithmError
for name in available():
    try:
        print(name, bool(module(name)))
    except AlgorithmError as error:
        print(name, "deep" if "deep image" in str(error) else error)
"""


@pytest.fixture(scope="module")
def image(platform: LocalPlatform) -> str:
    """The image of k-means, on a base that needs no registry; Docker keeps it for the next run."""
    images.need()
    tag = "test"
    done = platform.smp(
        *("images", "build", "kmeans", "--base", base_image.IMAGE, "--tag", tag), seconds=900
    )
    if "bring the packages" in done.stderr:
        pytest.skip(f"The packages cannot be had from PyPI: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def job(platform: LocalPlatform, image: str) -> dict[str, Any]:
    """What the container trained; by its repository of the platform it would be a process."""
    specification = {
        "TrainingImage": image,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "msd", "Regex": r"train msd <loss>=(\S+)"}],
    }
    name = f"contained-{uuid4().hex[:8]}"
    return train(platform, name, "kmeans", AlgorithmSpecification=specification)


def test_an_image_is_small_and_holds_no_deep_learning(image: str) -> None:
    program = "import importlib.util as u; print([n for n in ('torch', 'pip') if u.find_spec(n)])"
    found = images.docker("run", "--rm", "--entrypoint", "python3", image, "-c", program)
    assert found == "[]"
    size = int(images.docker("image", "inspect", "--format", "{{.Size}}", image))
    assert size < LARGEST_MEGABYTES * 10**6


def test_every_light_algorithm_can_be_loaded_in_the_image(image: str) -> None:
    found = images.docker("run", "--rm", "--entrypoint", "python3", image, "-c", LOADED)
    told = dict(line.split(" ", 1) for line in found.splitlines())
    light = {name for name in told if contents.kind(name) == "light"}
    assert {"kmeans", "xgboost", "randomcutforest"} <= light
    assert {told[name] for name in light} == {"True"}
    assert told["ipinsights"] == "deep"


def test_a_job_trains_in_the_container(job: dict[str, Any]) -> None:
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    (metric,) = job["FinalMetricDataList"]
    assert metric["MetricName"] == "msd" and 0 < metric["Value"] < 1000


def test_an_endpoint_answers_from_the_container_and_not_as_root(
    platform: LocalPlatform, job: dict[str, Any], hosting_role: str
) -> None:
    sagemaker, name = platform.client("sagemaker"), job["TrainingJobName"]
    container = {
        "Image": job["AlgorithmSpecification"]["TrainingImage"],
        "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"],
    }
    sagemaker.create_model(
        ModelName=name, PrimaryContainer=container, ExecutionRoleArn=hosting_role
    )
    variant = {
        "VariantName": "all",
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    answer = platform.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=name, ContentType="text/csv", Body=b",".join([b"1"] * 64)
    )
    assert "closest_cluster" in json.loads(answer["Body"].read())["predictions"][0]
    (serving,) = images.containers(platform.home / "state", f"endpoints/{name}")
    processes = images.docker("top", serving, "-o", "pid,uid").splitlines()[1:]
    assert {line.split()[1] for line in processes} == {"10001"}
    sagemaker.delete_endpoint(EndpointName=name)


def test_an_image_is_pushed_to_the_environment_where_its_tag_never_moves(
    platform: LocalPlatform,
) -> None:
    # A smaller one, under the name that a build gives.
    tag = f"test-{uuid4().hex[:8]}"
    images.docker("tag", images.program(), f"sagemaker-platform/kmeans:{tag}")
    first = platform.smp("images", "push", "kmeans", "--tag", tag)
    assert first.returncode == 0, first.stderr
    repository = "sagemaker-platform-local/kmeans"
    assert first.stdout.strip().endswith(f"/{repository}:{tag}")
    (found,) = platform.client("ecr").describe_images(
        repositoryName=repository, imageIds=[{"imageTag": tag}]
    )["imageDetails"]
    assert found["imageTags"] == [tag]
    again = platform.smp("images", "push", "kmeans", "--tag", tag)
    assert again.returncode == 0 and "was there already" in again.stderr
    names = images.docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert first.stdout.strip() not in names
    images.docker("rmi", f"sagemaker-platform/kmeans:{tag}")


def test_what_was_not_built_is_not_pushed(platform: LocalPlatform) -> None:
    images.need()
    done = platform.smp("images", "push", "kmeans", "--tag", "never-built")
    assert done.returncode == 1
    assert "Build it first: smp images build kmeans" in done.stderr
