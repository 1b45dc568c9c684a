"""What several tests of the running platform do: wait, train, ask."""

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from uuid import uuid4

import psutil

from local.cli import digits
from tests.platform import TRUST, LocalPlatform

T = TypeVar("T")

DIGITS = digits.load()
UNLABELLED = "\n".join(line.split(",", 1)[1] for line in DIGITS.train.splitlines()).encode()

ALGORITHMS: dict[str, dict[str, Any]] = {
    "xgboost": {
        "image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5",
        "hyperparameters": {
            "num_round": "20",
            "objective": "multi:softmax",
            "num_class": "10",
        },
        "body": DIGITS.train.encode(),
        "content_type": "text/csv",
        "metric": "train:mlogloss",
    },
    "kmeans": {
        "image": "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1",
        "hyperparameters": {"k": "10", "feature_dim": "64"},
        "body": UNLABELLED,
        "content_type": "text/csv;label_size=0",
        "metric": "train:msd",
    },
    "linear-learner": {
        "image": "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1",
        "hyperparameters": {"predictor_type": "multiclass_classifier", "num_classes": "10"},
        "body": DIGITS.train.encode(),
        "content_type": "text/csv",
        "metric": "train:objective_loss:final",
    },
}


def until(condition: Callable[[], T | None], what: str, seconds: float = 60) -> T:
    """What the condition gives, once it gives anything.

    What takes long is asked for less often: other workers' tests need the processor meanwhile.
    """
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        if found := condition():
            return found
        time.sleep(min(1.0, max(0.1, passed / 10)))
    raise AssertionError(f"{what} did not come within {seconds:g} s")


@contextlib.contextmanager
def occupying(platform: LocalPlatform, request: Mapping[str, Any]) -> Iterator[str]:
    """A training job that uses its instance until the block ends, and no processor meanwhile."""
    sagemaker, name = platform.client("sagemaker"), request["TrainingJobName"]
    sagemaker.create_training_job(**request)
    process = until(lambda: process_of(name), f"the process of {name}")
    process.suspend()
    try:
        yield name
    finally:
        process.resume()
        sagemaker.stop_training_job(TrainingJobName=name)


def process_of(job: str) -> psutil.Process | None:
    """The process of a training job, once there is one."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TRAINING_JOB_NAME") == job:
                return process
    return None


def checkpointed(platform: LocalPlatform, job: str, seconds: float = 60) -> None:
    """Wait until a job has written its first checkpoint, which reaches S3 some seconds later."""
    folder = platform.home / "state" / "sagemaker" / "jobs" / job
    until(lambda: [*folder.glob("*/checkpoints/*")], "the first checkpoint", seconds)


def ended(platform: LocalPlatform, execution: str) -> dict[str, Any]:
    """The execution, once it has ended."""
    states = platform.client("stepfunctions")

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = states.describe_execution(executionArn=execution)
        return found if found["status"] != "RUNNING" else None

    result = until(look, f"the end of {execution}")
    assert result
    return result


def heard(platform: LocalPlatform, alerts: str, *words: str) -> dict[str, Any]:
    """The next message with all the words; others are thrown away."""
    sqs = platform.client("sqs")

    def look() -> dict[str, Any] | None:
        answer = sqs.receive_message(QueueUrl=alerts, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            sqs.delete_message(QueueUrl=alerts, ReceiptHandle=message["ReceiptHandle"])
            body: dict[str, Any] = json.loads(message["Body"])
            if all(word in json.dumps(body) for word in words):
                return body
        return None

    return until(look, f"a message with {words}")


def jobs(platform: LocalPlatform) -> set[str]:
    """Names of all training jobs so far."""
    pages = platform.client("sagemaker").get_paginator("list_training_jobs").paginate()
    return {job["TrainingJobName"] for page in pages for job in page["TrainingJobSummaries"]}


def invoke_function(platform: LocalPlatform, module: str, event: Mapping[str, Any]) -> Any:
    """What the function with that handler gives back."""
    functions = platform.client("lambda")
    pages = functions.get_paginator("list_functions").paginate()
    (name,) = [
        each["FunctionName"]
        for page in pages
        for each in page["Functions"]
        if each["Handler"] == f"{module}.lambda_handler"
    ]
    answer = functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())
    payload = answer["Payload"].read()
    assert "FunctionError" not in answer, payload
    return json.loads(payload)


def sweep(platform: LocalPlatform) -> None:
    """Run the sweep now, as its schedule would."""
    invoke_function(platform, "jobs.handlers.sweep", {"grace_seconds": 0})


def job_request(
    platform: LocalPlatform, name: str, algorithm: str, role: str = "", **changes: Any
) -> dict[str, Any]:
    """What to ask for a training job whose data is there.

    The role is the platform's execution role, unless another is named.
    """
    case = ALGORITHMS[algorithm]
    data, models = (platform.parameter(f"storage/{which}-bucket") for which in ("data", "models"))
    platform.client("s3").put_object(Bucket=data, Key=f"{name}/train/a.csv", Body=case["body"])
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": case["image"], "TrainingInputMode": "File"},
        "RoleArn": role or platform.parameter("training/execution-role-arn"),
        "HyperParameters": case["hyperparameters"],
        "InputDataConfig": [
            {
                "ChannelName": "train",
                "ContentType": case["content_type"],
                "DataSource": {
                    "S3DataSource": {
                        "S3DataType": "S3Prefix",
                        "S3Uri": f"s3://{data}/{name}/train/",
                        "S3DataDistributionType": "FullyReplicated",
                    }
                },
            }
        ],
        "OutputDataConfig": {
            "S3OutputPath": f"s3://{models}/jobs",
            "KmsKeyId": platform.parameter("storage/key-arn"),
        },
        "ResourceConfig": {
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 1,
            "VolumeSizeInGB": 10,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        **changes,
    }


def train(
    platform: LocalPlatform, name: str, algorithm: str, role: str = "", **changes: Any
) -> dict[str, Any]:
    """Run a training job with plain boto3, and describe it once it has ended."""
    sagemaker = platform.client("sagemaker")
    sagemaker.create_training_job(**job_request(platform, name, algorithm, role, **changes))
    return trained(platform, name)


def trained(platform: LocalPlatform, name: str, seconds: float = 120) -> dict[str, Any]:
    """A training job, once it has ended."""
    sagemaker = platform.client("sagemaker")

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=name)
        return found if found["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    job = until(look, f"the end of {name}", seconds)
    assert job
    return job


def workflow_role(platform: LocalPlatform, handler: str) -> str:
    """Name of the role of a function of the workflow, by its handler's module."""
    pages = platform.client("lambda").get_paginator("list_functions").paginate()
    (found,) = [
        each["Role"].rpartition("/")[2]
        for page in pages
        for each in page["Functions"]
        if each["Handler"].startswith(f"jobs.handlers.{handler}.")
    ]
    return str(found)


@contextlib.contextmanager
def notebook_in_service(platform: LocalPlatform, prefix: str, on_start: str = "") -> Iterator[str]:
    """A notebook instance with a role that may do nothing, deleted afterwards."""
    iam, sagemaker = platform.client("iam"), platform.client("sagemaker")
    name = f"{prefix}-{uuid4().hex[:8]}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]
    sagemaker.create_notebook_instance_lifecycle_config(
        NotebookInstanceLifecycleConfigName=name,
        OnStart=[{"Content": base64.b64encode((on_start or "#!/bin/bash").encode()).decode()}],
    )
    sagemaker.create_notebook_instance(
        NotebookInstanceName=name,
        InstanceType="ml.t3.medium",
        RoleArn=role["Arn"],
        LifecycleConfigName=name,
    )

    def status(*wanted: str) -> str | None:
        def look() -> str | None:
            found = sagemaker.describe_notebook_instance(NotebookInstanceName=name)
            now: str = found["NotebookInstanceStatus"]
            return now if now in wanted else None

        return until(look, f"{name} {wanted}", 120)

    assert status("InService", "Failed") == "InService"
    yield name
    sagemaker.stop_notebook_instance(NotebookInstanceName=name)
    status("Stopped")
    sagemaker.delete_notebook_instance(NotebookInstanceName=name)
    sagemaker.delete_notebook_instance_lifecycle_config(NotebookInstanceLifecycleConfigName=name)
    iam.delete_role(RoleName=name)
