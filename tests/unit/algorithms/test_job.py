import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from algorithms.toolkit.algorithm import module
from algorithms.toolkit.errors import AlgorithmError
from tests.unit.algorithms.conftest import JobFolder

NewJob = Callable[[str], JobFolder]


@pytest.fixture
def job(new_job: NewJob) -> JobFolder:
    job = new_job("xgboost")
    job.channel("train", "text/csv", {"a.csv": b"0,1,2\n1,2,1\n"})
    return job


def test_logs_the_start_as_aws_does_and_succeeds(job: JobFolder) -> None:
    assert job.train(num_round=1) == 0
    assert "Docker entrypoint called with argument(s): train" in job.log
    assert job.failure == ""


def test_a_fault_of_the_customer_is_told_in_the_log_and_in_the_failure_file(job: JobFolder) -> None:
    job.channel("train", "text/csv", {"a.csv": b"0,1,2\n1,two,1\n"})
    assert job.train(num_round=1) == 1
    assert job.failure == "ClientError: train/a.csv, line 2, column 2: 'two' is not a number"
    assert f"Customer Error: {job.failure.removeprefix('ClientError: ')}" in job.log


def test_a_fault_of_the_program_is_told_as_such(
    job: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("algorithms.xgboost.train", lambda _: 1 / 0)
    assert job.train(num_round=1) == 1
    assert job.failure == "AlgorithmError: ZeroDivisionError: division by zero"


def test_a_failure_is_no_longer_than_what_the_platform_reads(job: JobFolder) -> None:
    assert job.train(**{f"unknown_{i}": 1 for i in range(100)}) == 1
    assert len(job.failure) == 1024


def test_a_missing_channel_is_named(new_job: NewJob) -> None:
    job = new_job("xgboost")
    assert job.train(num_round=1) == 1
    assert job.failure == "ClientError: Missing required channel: train"


def test_a_channel_too_many_is_named(job: JobFolder) -> None:
    job.channel("extra", "text/csv", {"a.csv": b"1,2"})
    assert job.train(num_round=1) == 1
    assert "Extraneous channel found: extra" in job.failure


def test_a_channel_without_data_is_named(job: JobFolder) -> None:
    job.channel("validation", "text/csv", {"_SUCCESS": b"x", ".hidden": b"x", "empty.csv": b""})
    assert job.train(num_round=1) == 1
    assert job.failure.startswith("ClientError: No data in validation channel path")


def test_a_content_type_that_the_algorithm_cannot_read_is_refused(job: JobFolder) -> None:
    job.channel("train", "image/png", {})
    assert job.train(num_round=1) == 1
    assert "Content type 'image/png' of channel 'train' is not supported" in job.failure


def test_a_channel_that_names_no_content_type_holds_recordio(new_job: NewJob) -> None:
    job = new_job("kmeans")
    job.channel("train", None, {"a.csv": b"1,2\n"})
    assert job.train(k=1, feature_dim=2) == 1
    assert job.failure.startswith("ClientError: train/a.csv, record 1, byte 0: truncated")


def test_an_unknown_hyperparameter_is_refused_with_its_name(job: JobFolder) -> None:
    assert job.train(num_round=1, max_deph=3) == 1
    assert job.failure.startswith("ClientError: ")
    assert "max_deph" in job.failure
    assert "max_depth" in job.failure


def test_what_runs_on_one_host_only_is_refused_on_several(job: JobFolder) -> None:
    (job.base / "input/config/resourceconfig.json").write_text(
        json.dumps({"current_host": "algo-1", "hosts": ["algo-1", "algo-2"]})
    )
    assert job.train(num_round=1, _kfold=2) == 1
    assert "Training on 2 hosts is not supported" in job.failure


def test_the_configuration_of_the_sdk_s_local_mode_is_enough(job: JobFolder) -> None:
    (job.base / "input/config/resourceconfig.json").unlink()
    (job.base / "input/config/inputdataconfig.json").write_text(
        json.dumps({"train": {"TrainingInputMode": "File", "ContentType": "text/csv"}})
    )
    assert job.train(num_round=1) == 0


def test_files_in_folders_are_read_in_the_order_of_their_names(job: JobFolder) -> None:
    job.channel("train", "text/csv", {"b/c.csv": b"1,7,x\n", "a.csv": b"0,1,2\n"})
    assert job.train(num_round=1) == 1
    assert "train/b/c.csv, line 1, column 3" in job.failure


def test_files_of_different_width_are_refused_by_name(job: JobFolder) -> None:
    job.channel("train", "text/csv", {"b.csv": b"1,7\n"})
    assert job.train(num_round=1) == 1
    assert "train/b.csv, record 1 has 1 features, train/a.csv, record 1 has 2" in job.failure


def test_an_algorithm_that_is_not_built_yet_is_refused_with_a_sentence() -> None:
    with pytest.raises(AlgorithmError, match="not-yet is in the catalogue, but this project has"):
        module("not-yet")


# The names of those that an environment without torch refuses, and nothing else that goes wrong.
REFUSED = """
import sys
sys.modules["torch"] = None
from algorithms.toolkit import available
from algorithms.toolkit.algorithm import module
from algorithms.toolkit.errors import AlgorithmError
for name in available():
    try:
        module(name)
    except AlgorithmError as error:
        assert str(error).startswith(f"{name} needs torch, which is not installed here: take the")
        print(name)
"""


def test_an_algorithm_of_deep_learning_says_that_it_needs_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "deepar",
        "image-classification",
        "ipinsights",
        "ntm",
        "object-detection",
        "object2vec",
        "semantic-segmentation",
        "seq2seq",
    ]
