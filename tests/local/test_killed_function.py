"""A function that is killed while it works, on the deployed workflow."""

import json
from uuid import uuid4

from tests.local.support import DIGITS, ended, jobs
from tests.platform import LocalPlatform


def test_a_function_killed_after_it_made_the_job_is_called_again_and_makes_no_second_job(
    platform: LocalPlatform,
) -> None:
    bucket, prefix = platform.parameter("storage/data-bucket"), f"killed-{uuid4().hex[:8]}"
    platform.client("s3").put_object(
        Bucket=bucket, Key=f"{prefix}/train/digits.csv", Body=DIGITS.train.encode()
    )
    request = {
        "algorithm": "xgboost",
        "hyperparameters": {"num_round": 3, "objective": "multi:softmax", "num_class": 10},
        "instance_types": ["ml.m5.xlarge"],
        "max_runtime_seconds": 600,
        "channels": {
            "train": {"s3_uri": f"s3://{bucket}/{prefix}/train/", "content_type": "text/csv"}
        },
    }
    platform.faults({"kill_caller": {"CreateTrainingJob": 1}})
    before = jobs(platform)
    states = platform.client("stepfunctions")
    execution = states.start_execution(
        stateMachineArn=platform.parameter("training/state-machine-arn"),
        name=prefix,
        input=json.dumps(request),
    )["executionArn"]
    assert ended(platform, execution)["status"] == "SUCCEEDED"
    assert len(jobs(platform) - before) == 1
    pages = states.get_paginator("get_execution_history").paginate(executionArn=execution)
    failed = [
        event["taskFailedEventDetails"]
        for page in pages
        for event in page["events"]
        if event["type"] == "TaskFailed"
    ]
    (once,) = failed
    assert once["error"] == "Runtime.ExitError"
    assert "Runtime exited with error: signal: killed" in once["cause"]
