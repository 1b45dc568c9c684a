"""Jobs and endpoints in Docker, with SageMaker's service alone around them."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from types_boto3_s3 import S3Client

from local.containers.container import (
    CannotStart,
    Container,
    Mount,
    Spec,
    hand_over,
    remove_left_over,
)
from local.containers.engine import LABEL, Engine, address
from local.sagemaker.containers import Containers
from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from tests import images
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    LIMITS,
    OWN_IMAGE,
    ROLE,
    TestAws,
    TestRuntime,
    archive,
    content,
    finished,
    job_request,
    train,
    until,
)

_CODE = Path(__file__).resolve().parents[3]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = Engine(address(), tmp_path / "state")
    yield found
    found.close()


@pytest.fixture
def sagemaker(
    engine: Engine, aws: TestAws, bucket: S3Client, tmp_path: Path
) -> Iterator[SageMakerService]:
    images.need()
    found = SageMakerService(
        aws,
        tmp_path / "state" / "sagemaker",
        runtime=TestRuntime(),
        containers=Containers(aws, engine, 9),
        limits=replace(LIMITS, startup=3),
    )
    found.start()
    yield found
    found.close()
    assert _labelled(tmp_path / "state") == ""


def _networks(state: Path) -> list[str]:
    label = f"label={LABEL}={state}"
    return images.docker("network", "ls", "--quiet", "--filter", label).split()


def _labelled(state: Path) -> str:
    """What Docker holds of a platform: containers and networks."""
    label = f"label={LABEL}={state}"
    return images.docker("ps", "--all", "--quiet", "--filter", label) + images.docker(
        "network", "ls", "--quiet", "--filter", label
    )


def _algorithm(image: str, **more: Any) -> dict[str, Any]:
    return {"TrainingImage": image, "TrainingInputMode": "File", **more}


def _train(
    sagemaker: SageMakerService, name: str, specification: dict[str, Any], **changes: object
) -> dict[str, Any]:
    isolated = {"EnableNetworkIsolation": True}
    return train(
        sagemaker, name, **({"AlgorithmSpecification": specification} | isolated | changes)
    )


def test_an_image_of_this_machines_docker_trains_by_the_contract(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    metrics = [{"Name": "loss", "Regex": r"loss=(\S+)"}]
    job = _train(
        sagemaker,
        "contract",
        _algorithm(images.program(), MetricDefinitions=metrics),
        HyperParameters={"loss": "0.25"},
        Environment={"OWN": "mine"},
    )
    assert job["TrainingJobStatus"] == "Completed", job
    assert [m["Value"] for m in job["FinalMetricDataList"]] == [0.25]
    report = json.loads(content(bucket, job)["algo-1.json"])
    assert report["arguments"] == ["train"]
    assert report["data"] == {"train/a.csv": "1,2", "train/deep/b.csv": "3,4"}
    assert report["config"]["hyperparameters"] == {"loss": "0.25"}
    assert report["config"]["resourceconfig"]["network_interface_name"] == "eth0"
    assert report["environment"] == {
        "OWN": "mine",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "TRAINING_JOB_NAME": "contract",
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
    }
    assert report["interfaces"] == ["lo"]
    assert report["address"] == "127.0.0.1"
    assert content(bucket, job, "output.tar.gz") == {"algo-1.txt": "done"}


def test_hosts_find_one_another_by_name_and_nobody_else_when_isolated(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    resources = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 5}
    job = _train(sagemaker, "two", _algorithm(images.program()), ResourceConfig=resources)
    assert job["TrainingJobStatus"] == "Completed", job
    reports = {name: json.loads(text) for name, text in content(bucket, job).items()}
    assert {name: report["heard"] for name, report in reports.items()} == {
        "algo-1.json": ["algo-2"],
        "algo-2.json": ["algo-1"],
    }


def test_the_network_of_hosts_that_did_not_all_start_is_removed(
    sagemaker: SageMakerService, tmp_path: Path
) -> None:
    start = Containers.start
    asked: list[Spec] = []

    def first_alone(self: Containers, spec: Spec, on_line: Any) -> Container:
        asked.append(spec)
        if len(asked) == 2:
            raise CannotStart("no room")
        return start(self, spec, on_line)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Containers, "start", first_alone)
        resources = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 5}
        job = _train(
            sagemaker,
            "half",
            _algorithm(images.program()),
            ResourceConfig=resources,
            HyperParameters={"patient": "1"},
        )
    assert "no room" in job["FailureReason"]
    assert _labelled(tmp_path / "state") == ""


def test_entrypoint_and_arguments_of_the_request_replace_those_of_the_image(
    sagemaker: SageMakerService, bucket: S3Client
) -> None:
    specification = _algorithm(
        images.program(),
        ContainerEntrypoint=["python3", "/program.py"],
        ContainerArguments=["fit", "--fast"],
    )
    job = _train(sagemaker, "replaced", specification)
    assert json.loads(content(bucket, job)["algo-1.json"])["arguments"] == ["fit", "--fast"]


def test_the_failure_file_of_a_container_is_the_reason(sagemaker: SageMakerService) -> None:
    job = _train(
        sagemaker, "fails", _algorithm(images.program()), HyperParameters={"fail": "no data"}
    )
    assert job["FailureReason"] == "AlgorithmError: no data, exit code: 3"


def test_a_program_that_is_not_in_the_image_cannot_be_started(sagemaker: SageMakerService) -> None:
    specification = _algorithm(images.program(), ContainerEntrypoint=["nonsense"])
    reason = _train(sagemaker, "nonsense", specification)["FailureReason"]
    assert reason.startswith("ClientError: CannotStartContainerError.")
    assert '"nonsense": executable file not found' in reason


def test_an_image_for_another_kind_of_machine_is_named_as_such(
    sagemaker: SageMakerService,
) -> None:
    reason = _train(sagemaker, "foreign", _algorithm(images.foreign()))["FailureReason"]
    assert reason.startswith("ClientError: CannotStartContainerError.")
    assert "built for s390x" in reason


def test_a_container_that_ignores_sigterm_is_killed_and_its_job_stopped(
    sagemaker: SageMakerService,
) -> None:
    request = job_request(
        "patient",
        AlgorithmSpecification=_algorithm(images.program()),
        HyperParameters={"patient": "1"},
        EnableNetworkIsolation=True,
    )
    sagemaker.call("CreateTrainingJob", request)

    def training() -> bool:
        found = sagemaker.call("DescribeTrainingJob", {"TrainingJobName": "patient"})
        return bool(found["SecondaryStatus"] == "Training")

    until(training)
    sagemaker.call("StopTrainingJob", {"TrainingJobName": "patient"})
    assert finished(sagemaker, "patient")["TrainingJobStatus"] == "Stopped"


def test_an_image_that_docker_does_not_have_is_refused_with_what_to_do(
    sagemaker: SageMakerService,
) -> None:
    with pytest.raises(ServiceError, match=r"Requested image no/such:1 not found.*docker pull"):
        _train(sagemaker, "missing", _algorithm("no/such:1"))


def _endpoint(sagemaker: SageMakerService, mode: str, **changes: object) -> dict[str, Any]:
    """Create an endpoint of the test image, and wait until it serves or has failed."""
    container = {
        "Image": images.program(),
        "ModelDataUrl": f"s3://{BUCKET}/models/one.tar.gz",
        "Environment": {"OWN_MODE": mode},
    }
    model = {"ModelName": "m", "ExecutionRoleArn": ROLE, "PrimaryContainer": container}
    sagemaker.call("CreateModel", model | changes)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": "m",
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.call(
        "CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [variant]}
    )
    sagemaker.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})

    def at_rest() -> dict[str, Any] | None:
        found = sagemaker.call("DescribeEndpoint", {"EndpointName": "e"})
        return found if found["EndpointStatus"] != "Creating" else None

    found = until(at_rest)
    assert found
    return found


@pytest.fixture
def weights(bucket: S3Client) -> None:
    bucket.put_object(Bucket=BUCKET, Key="models/one.tar.gz", Body=archive({"weights": "1"}))


@pytest.mark.parametrize("isolated", [False, True])
def test_an_image_serves_its_model_read_only_and_without_a_way_out_when_isolated(
    sagemaker: SageMakerService, weights: None, isolated: bool, tmp_path: Path
) -> None:
    found = _endpoint(sagemaker, "", EnableNetworkIsolation=isolated)
    assert found["EndpointStatus"] == "InService", found.get("FailureReason")
    path = "/endpoints/e/invocations"
    headers = {"content-type": "text/csv"}
    status, _, body = asyncio.run(sagemaker.handle_runtime("POST", path, headers, b"1,2", {}))
    assert status == 200, body
    answer = json.loads(body)
    assert (answer["body"], answer["model"]) == ("1,2", {"weights": "1"})
    assert not answer["writable"]
    (network,) = _networks(tmp_path / "state")
    assert images.docker("network", "inspect", "--format", "{{.Internal}}", network) == (
        "true" if isolated else "false"
    )
    assert ("AWS_ACCESS_KEY_ID" in answer["environment"]) is not isolated
    sagemaker.call("DeleteEndpoint", {"EndpointName": "e"})


@pytest.mark.parametrize(
    ("mode", "because"),
    [("exit", "exit code 7"), ("silent", r"did not answer in time \(3 s\)")],
)
def test_an_image_that_does_not_answer_its_ping_fails_the_endpoint(
    sagemaker: SageMakerService, weights: None, mode: str, because: str
) -> None:
    found = _endpoint(sagemaker, mode)
    assert found["EndpointStatus"] == "Failed"
    assert found["FailureReason"].startswith(
        "The primary container for production variant AllTraffic did not pass the ping health "
        "check. Please check CloudWatch logs for this endpoint."
    )
    assert re.search(because, found["FailureReason"])


def test_an_image_that_cannot_be_started_fails_the_endpoint_in_the_words_of_aws(
    sagemaker: SageMakerService, weights: None
) -> None:
    container = {"Image": images.foreign(), "ModelDataUrl": f"s3://{BUCKET}/models/one.tar.gz"}
    found = _endpoint(sagemaker, "", PrimaryContainer=container)
    assert found["FailureReason"].startswith(
        "CannotStartContainerError. Please ensure the model container for variant AllTraffic "
        "starts correctly when invoked with 'docker run <image> serve'"
    )


def test_without_docker_an_image_is_refused_with_what_to_do(
    aws: TestAws, bucket: S3Client, tmp_path: Path
) -> None:
    engine = Engine(f"unix://{tmp_path}/none.sock", tmp_path / "state")
    found = SageMakerService(
        aws, tmp_path / "s", runtime=TestRuntime(), containers=Containers(aws, engine, 9)
    )
    found.start()
    try:
        for image in ("team/own:1", OWN_IMAGE.replace("test-image", "own")):
            with pytest.raises(ServiceError, match=r"no Docker at .*Install Docker Engine"):
                _train(found, "refused", _algorithm(image))
        assert train(found, "without")["TrainingJobStatus"] == "Completed"
    finally:
        found.close()


def test_a_docker_of_another_machine_is_refused(tmp_path: Path) -> None:
    refusal = Engine("tcp://10.0.0.1:2376", tmp_path).refusal()
    assert "may be another machine" in refusal
    assert "DOCKER_HOST" in refusal


_KILLED = """
import sys, time
from pathlib import Path
from local.containers.container import Container, Spec
from local.containers.engine import Engine, address
from local.containers.networks import Networks
from local.containers.relay import Relays

engine = Engine(address(), Path(sys.argv[1]))
network = Networks(engine, Relays(), 9).own(isolated=False)
spec = Spec(sys.argv[2], ["-c", "import time; time.sleep(600)"], {}, network.name,
            entrypoint=["python3"])
Container(engine, spec, print)
print("started", flush=True)
time.sleep(600)
"""


def test_what_a_killed_platform_left_in_docker_is_removed(engine: Engine, tmp_path: Path) -> None:
    images.need()
    state = tmp_path / "state"
    command = [sys.executable, "-c", _KILLED, str(state), images.program()]
    with subprocess.Popen(command, cwd=_CODE, stdout=subprocess.PIPE, text=True) as platform:
        assert platform.stdout
        assert platform.stdout.readline() == "started\n"
        platform.send_signal(signal.SIGKILL)
    assert _labelled(state) != ""
    assert remove_left_over(engine) == 2
    assert _labelled(state) == ""


def test_what_root_wrote_in_a_container_is_handed_over(engine: Engine, tmp_path: Path) -> None:
    images.need()
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    code = "import os; os.makedirs('/m/deep'); open('/m/deep/f', 'w'); os.chmod('/m/deep', 0o700)"
    spec = Spec(
        images.program(), ["-c", code], {}, "none", [Mount(folder, "/m")], entrypoint=["python3"]
    )
    assert Container(engine, spec, print).wait() == 0
    owner = tmp_path.stat().st_uid
    hand_over(engine, images.program(), [folder], 4711, 4711)
    assert {path.lstat().st_uid for path in folder.rglob("*")} == {4711}
    assert tmp_path.stat().st_uid == owner == os.geteuid()
