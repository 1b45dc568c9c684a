"""200 API calls at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from botocore.config import Config

from benchmarks.measuring import RUNS, Figure, seconds
from local.cli.aws import Aws

CALLS = 200


def measure(aws: Aws) -> list[Figure]:
    """Ask four services, fifty times each, all at once."""
    session = aws.platform.credentials.session()
    options = Config(max_pool_connections=CALLS, retries={"max_attempts": 0})
    sagemaker = session.client("sagemaker", endpoint_url=aws.url, config=options)
    s3 = session.client("s3", endpoint_url=aws.url, config=options)
    ssm = session.client("ssm", endpoint_url=aws.url, config=options)
    sts = session.client("sts", endpoint_url=aws.url, config=options)
    name = "/sagemaker-platform/local/storage/data-bucket"
    kinds: list[Callable[[], object]] = [
        sagemaker.list_training_jobs,
        s3.list_buckets,
        lambda: ssm.get_parameter(Name=name),
        sts.get_caller_identity,
    ]
    calls = kinds * (CALLS // len(kinds))

    def all_at_once() -> None:
        with ThreadPoolExecutor(CALLS) as pool:
            for done in [pool.submit(call) for call in calls]:
                done.result()

    all_at_once()
    return [Figure(f"{CALLS} parallel API calls", "s", [seconds(all_at_once) for _ in range(RUNS)])]
