"""Scripts in AWS's framework images: what is refused at Create, and a job and an endpoint."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from types_boto3_s3 import S3Client

from local.confinement import Confinement, offered
from local.sagemaker.errors import ServiceError
from local.sagemaker.images import AlgorithmsRuntime
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.endpoint_support import config, invoke, settled, variant
from tests.unit.sagemaker.endpoint_support import model as create_model
from tests.unit.sagemaker.surroundings import (
    BUCKET,
    LIMITS,
    REGION,
    ROLE,
    TestAws,
    archive,
    channel,
    content,
    job_request,
    train,
)

_AWS = "683313688378.dkr.ecr.us-east-1.amazonaws.com"
SKLEARN = f"{_AWS}/sagemaker-scikit-learn:1.2-1-cpu-py3"
XGBOOST = f"{_AWS}/sagemaker-xgboost:1.7-1"
KMEANS = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"
_DEEP = f"763104351884.dkr.ecr.{REGION}.amazonaws.com"
PYTORCH = f"{_DEEP}/pytorch-training:2.3.0-cpu-py311"
PROGRAM = {"sagemaker_program": json.dumps("fit.py")}
VARIABLE = {"SAGEMAKER_PROGRAM": "inference.py"}
# Says what it may read and what it is told, as a file of its model.
PROBE = """
import json, os, pathlib, sys, tempfile

def reads(path):
    try:
        return bool(pathlib.Path(path).read_bytes())
    except OSError:
        return False

def writes(folder):
    try:
        (pathlib.Path(folder) / "written").write_text("")
        return True
    except OSError:
        return False

def model_fn(model_dir):
    return json.loads((pathlib.Path(model_dir) / "told.json").read_text())

def input_fn(body, content_type):
    return body

def predict_fn(data, model):
    key = "AWS_ACCESS_KEY_ID" in os.environ
    written = [writes(tempfile.gettempdir()), writes(pathlib.Path(__file__).parent)]
    return {"told": model, "own": os.environ.get("OWN"), "key": key, "written": written}

if __name__ == "__main__":
    told = {
        "secret": reads(sys.argv[sys.argv.index("--secret") + 1]),
        "data": reads(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "a.csv")),
        "key": "AWS_ACCESS_KEY_ID" in os.environ,
        "own": os.environ["OWN"],
        "place": os.environ["SM_MODEL_DIR"],
        "written": writes(os.environ["SM_OUTPUT_DIR"]) and writes(tempfile.gettempdir()),
        "beside": writes("/opt"),
    }
    print("loss=0.25")
    (pathlib.Path(os.environ["SM_MODEL_DIR"]) / "told.json").write_text(json.dumps(told))
"""


@pytest.fixture
def real(aws: TestAws, bucket: S3Client, tmp_path: Path) -> Iterator[SageMakerService]:
    """A service that runs the project's own processes."""
    found = SageMakerService(
        aws,
        tmp_path / "state",
        runtime=AlgorithmsRuntime(),
        limits=LIMITS,
        confinement=Confinement(offered(), tmp_path / "state"),
    )
    found.start()
    yield found
    found.close()


def job(image: str, **changes: Any) -> dict[str, Any]:
    specification = {"TrainingImage": image, "TrainingInputMode": "File"}
    return job_request("script", AlgorithmSpecification=specification, **changes)


def model(image: str, environment: dict[str, str]) -> dict[str, Any]:
    container = {"Image": image, "Environment": environment}
    return {"ModelName": "script", "ExecutionRoleArn": ROLE, "PrimaryContainer": container}


TWO = {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 5}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (job(SKLEARN), "runs a script of yours: name it in the hyperparameter sagemaker_program"),
        (job(SKLEARN, HyperParameters=PROGRAM, ResourceConfig=TWO), "asks for 2 instances"),
        (job(f"{_DEEP}/pytorch-inference:2.3.0-cpu-py311", HyperParameters=PROGRAM),
         "serves, and does not train: PyTorch trains in pytorch-training"),
        (job(f"{_DEEP}/pytorch-training:1.3.1-cpu-py2", HyperParameters=PROGRAM), "has Python 2"),
        (job(f"{_DEEP}/tensorflow-training:2.14.1-cpu-py310", HyperParameters=PROGRAM),
         "it is AWS's image of TensorFlow, which runs in Docker alone"),
        (job(f"{_DEEP}/huggingface-pytorch-training:2.1.0-cpu-py310", HyperParameters=PROGRAM),
         "it is AWS's image of Hugging Face, which runs in Docker alone"),
        (job(KMEANS, HyperParameters=PROGRAM),
         "hyperparameter sagemaker_program names the script fit.py, which the image"),
        (job(KMEANS, Environment=VARIABLE),
         "Environment SAGEMAKER_PROGRAM names the script inference.py, which the image"),
        (job("000000000000.dkr.ecr.us-east-1.amazonaws.com/sagemaker-platform-local/xgboost:1",
             HyperParameters=PROGRAM), "it is the algorithm xgboost"),
        (model(KMEANS, VARIABLE), "Environment SAGEMAKER_PROGRAM names the script inference.py"),
        (model(PYTORCH, VARIABLE), "trains, and does not serve: PyTorch serves in"),
        (model(f"{_DEEP}/tensorflow-inference:2.14.1-cpu", VARIABLE), "image of TensorFlow"),
    ],
    ids=["unnamed", "hosts", "serving image", "python 2", "tensorflow", "hugging face",
         "hyperparameter of kmeans", "variable of kmeans", "own xgboost", "model of kmeans",
         "training image", "tensorflow model"],
)  # fmt: skip
def test_a_script_that_would_not_run_is_refused_by_name(
    real: SageMakerService, request_: dict[str, Any], reason: str
) -> None:
    if "pytorch" in str(request_) and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    operation = "CreateModel" if "ModelName" in request_ else "CreateTrainingJob"
    with pytest.raises(ServiceError) as caught:
        real.call(operation, request_)
    assert caught.value.code == "ValidationException"
    assert reason in str(caught.value)


def test_a_framework_that_is_not_installed_is_named_with_what_brings_it(
    real: SageMakerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    with pytest.raises(ServiceError, match="PyTorch, which is not installed here: run `make deep`"):
        real.call("CreateTrainingJob", job(PYTORCH, HyperParameters=PROGRAM))


@pytest.mark.parametrize("name", ["ContainerEntrypoint", "ContainerArguments"])
def test_another_command_than_the_script_is_refused(real: SageMakerService, name: str) -> None:
    asked = job(SKLEARN, HyperParameters=PROGRAM)
    asked["AlgorithmSpecification"][name] = ["bash"]
    with pytest.raises(ServiceError, match=f"as a process: leave {name} out"):
        real.call("CreateTrainingJob", asked)


@pytest.mark.holds(
    "A script of one's own reaches no more than a built-in algorithm: its job, its role's calls."
)
def test_a_script_trains_and_serves_confined_to_what_is_its_own(
    real: SageMakerService, bucket: S3Client, tmp_path: Path
) -> None:
    secret = tmp_path / "state" / "secret"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("of another")
    packed = archive({"fit.py": PROBE})
    bucket.put_object(Bucket=BUCKET, Key="code/sourcedir.tar.gz", Body=packed)
    specification = {
        # Its image is that of the built-in algorithm, too, which does not run here.
        "TrainingImage": XGBOOST,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}],
    }
    done = train(
        real,
        "script",
        AlgorithmSpecification=specification,
        EnableNetworkIsolation=True,
        Environment={"OWN": "of the request"},
        HyperParameters={
            **PROGRAM,
            "sagemaker_submit_directory": '"/opt/ml/input/data/code/sourcedir.tar.gz"',
            "secret": json.dumps(str(secret)),
        },
        InputDataConfig=[
            channel("train", f"s3://{BUCKET}/train/"),
            channel("code", f"s3://{BUCKET}/code/"),
        ],
    )
    assert done["TrainingJobStatus"] == "Completed", done
    assert [(m["MetricName"], m["Value"]) for m in done["FinalMetricDataList"]] == [("loss", 0.25)]
    assert done["AlgorithmSpecification"]["MetricDefinitions"][0]["Name"] == "loss"
    told = json.loads(content(bucket, done)["told.json"])
    assert told == {
        "secret": not offered(),
        "data": True,
        "key": False,
        "own": "of the request",
        "place": told["place"],
        "written": True,
        "beside": False,
    }
    shown = Confinement(offered(), tmp_path).shows("/opt/ml")
    assert (told["place"] == "/opt/ml/model") == shown

    bucket.put_object(
        Bucket=BUCKET,
        Key="model.tar.gz",
        Body=archive({"told.json": json.dumps(told), "code/fit.py": PROBE}),
    )
    environment = {
        "SAGEMAKER_PROGRAM": "fit.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        "OWN": "of the model",
    }
    container = {
        "Image": XGBOOST,
        "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz",
        "Environment": environment,
    }
    create_model(real, "script", PrimaryContainer=container, EnableNetworkIsolation=True)
    config(real, "e", variant("script"))
    real.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "e"})
    found = settled(real)
    assert found["EndpointStatus"] == "InService", found
    status, _, answer = invoke(real, body=b"hello")
    assert status == 200
    assert answer == {
        "told": told,
        "own": "of the model",
        "key": False,
        "written": [True, not offered()],
    }
