"""The platform's own time round a job on two hosts, which no job of one host has to wait for."""

import json
import time
from typing import Any
from uuid import uuid4

from benchmarks.measuring import RUNS, Figure
from local.cli import digits
from local.cli.aws import Aws

_IMAGE = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"


def measure(aws: Aws) -> list[Figure]:
    """Train k-means on two hosts, and take the time in which the algorithm ran away."""
    values = [_overhead(aws) for _ in range(RUNS + 1)]
    return [Figure("round a job on two hosts, without it", "s", values[1:], "to beat: 11.9")]


def _overhead(aws: Aws) -> float:
    name = f"two-hosts-{uuid4().hex[:8]}"
    data, models = (aws.parameter(f"storage/{which}-bucket") for which in ("data", "models"))
    points = "\n".join(line.split(",", 1)[1] for line in digits.load().train.splitlines())
    aws.s3.put_object(Bucket=data, Key=f"{name}/points.csv", Body=points.encode())
    began = time.time()
    aws.sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": _IMAGE, "TrainingInputMode": "File"},
        RoleArn=aws.parameter("training/execution-role-arn"),
        HyperParameters={"k": "10", "feature_dim": "64"},
        InputDataConfig=[
            {
                "ChannelName": "train",
                "ContentType": "text/csv;label_size=0",
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{data}/{name}/"}
                },
            }
        ],
        OutputDataConfig={
            "S3OutputPath": f"s3://{models}/jobs",
            "KmsKeyId": aws.parameter("storage/key-arn"),
        },
        ResourceConfig={
            "InstanceType": "ml.m5.xlarge",
            "InstanceCount": 2,
            "VolumeSizeInGB": 10,
        },
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    job = _ended(aws, name)
    took = job["TrainingEndTime"].timestamp() - began
    (training,) = [t for t in job["SecondaryStatusTransitions"] if t["Status"] == "Training"]
    return float(took - (training["EndTime"] - training["StartTime"]).total_seconds())


def _ended(aws: Aws, name: str) -> dict[str, Any]:
    while True:
        job: dict[str, Any] = dict(aws.sagemaker.describe_training_job(TrainingJobName=name))
        if job["TrainingJobStatus"] == "Completed":
            return job
        if job["TrainingJobStatus"] in ("Failed", "Stopped"):
            raise RuntimeError(json.dumps(job.get("FailureReason")))
        time.sleep(0.1)
