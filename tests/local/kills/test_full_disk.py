"""A disk that fills up while a job runs ends the job and nothing else.

A limit on the size of the server's files stands in for the disk: it meets whoever writes too much.
"""

from pathlib import Path

import psutil

from local.platform import server
from local.platform.home import Home
from tests.local.support import DIGITS, job_request, train, until
from tests.platform import LocalPlatform

SPARE = 4 * 2**20


def largest(folder: Path) -> int:
    return max(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_a_disk_that_is_full_fails_the_job_with_the_reason_and_the_platform_goes_on(
    doomed: LocalPlatform,
) -> None:
    request = job_request(doomed, "too-large", "xgboost")
    s3, sagemaker = doomed.client("s3"), doomed.client("sagemaker")
    data = doomed.parameter("storage/data-bucket")
    body = DIGITS.train.encode()
    running = server.running(Home(doomed.home))
    assert running
    assert running.process
    limit = largest(doomed.home) + SPARE
    s3.put_object(
        Bucket=data, Key="too-large/train/a.csv", Body=body * (2 * limit // len(body) + 1)
    )
    process = running.process
    process.rlimit(psutil.RLIMIT_FSIZE, (limit, psutil.RLIM_INFINITY))
    try:
        sagemaker.create_training_job(**request)
        job = until(
            lambda: [
                found
                for found in [sagemaker.describe_training_job(TrainingJobName="too-large")]
                if found["TrainingJobStatus"] in ("Completed", "Failed")
            ],
            "the end of the job",
            120,
        )[0]
        assert job["TrainingJobStatus"] == "Failed"
        assert job["FailureReason"].startswith("ClientError: "), job["FailureReason"]
        assert "free some space and train again" in job["FailureReason"]
        folder = doomed.home / "state" / "sagemaker" / "jobs"
        # It is removed after the job's end is told.
        until(lambda: not [*folder.glob("*")], "the end of the job's folder")
        doomed.client("ssm").put_parameter(Name="/goes-on", Value="1", Type="String")
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
    assert train(doomed, "fits", "xgboost")["TrainingJobStatus"] == "Completed"
