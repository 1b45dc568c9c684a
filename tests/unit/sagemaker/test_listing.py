"""A thousand finished jobs, in pages."""

from typing import Any

import pytest

from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.surroundings import IMAGE, ROLE, train

CONTAINER = {"PrimaryContainer": {"Image": IMAGE}}
COUNT = 1000
STATUSES = ("Completed", "Failed", "Stopped")


@pytest.fixture
def thousand(sagemaker: SageMakerService) -> list[str]:
    """Names of jobs as they are once they have ended, oldest first, several in each second."""
    one = train(sagemaker, "pattern")
    sagemaker._store.delete("training-job", "pattern")
    names = [f"job-{number:04}" for number in range(COUNT)]
    # At once: a thousand waits for the disk would take longer than the test.
    sagemaker._store._database.execute("BEGIN")
    for number, name in enumerate(names):
        job = {
            **one,
            "TrainingJobName": name,
            "TrainingJobArn": one["TrainingJobArn"].replace("pattern", name),
            "CreationTime": float(1_700_000_000 + number // 3),
            "TrainingJobStatus": STATUSES[number % 3],
        }
        sagemaker._store.put("training-job", name, job)
    sagemaker._store._database.execute("COMMIT")
    return names


def listed(sagemaker: SageMakerService, **asked: Any) -> list[list[str]]:
    """The names of every page."""
    pages: list[list[str]] = []
    token: dict[str, str] = {}
    while True:
        page = sagemaker.call("ListTrainingJobs", {**asked, **token})
        pages.append([job["TrainingJobName"] for job in page["TrainingJobSummaries"]])
        if "NextToken" not in page:
            return pages
        token = {"NextToken": page["NextToken"]}


@pytest.mark.parametrize(
    ("size", "order"), [(100, "Ascending"), (100, "Descending"), (33, "Descending")]
)
def test_pages_hold_every_job_once_and_in_order(
    sagemaker: SageMakerService, thousand: list[str], size: int, order: str
) -> None:
    pages = listed(sagemaker, MaxResults=size, SortOrder=order, SortBy="CreationTime")
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    found = [name for page in pages for name in page]
    assert found == (thousand if order == "Ascending" else thousand[::-1])


def test_filters_hold_across_pages(sagemaker: SageMakerService, thousand: list[str]) -> None:
    pages = listed(sagemaker, StatusEquals="Failed", NameContains="job-0", MaxResults=100)
    found = sorted(name for page in pages for name in page)
    assert found == [name for name in thousand[:1000] if int(name[-4:]) % 3 == 1]
    late = listed(sagemaker, CreationTimeAfter=1_700_000_000 + 330, MaxResults=100)
    assert sorted(late[0]) == thousand[990:]


def test_what_is_created_and_deleted_between_two_pages_moves_no_other(
    sagemaker: SageMakerService, thousand: list[str]
) -> None:
    first = sagemaker.call("ListTrainingJobs", {"MaxResults": 100})
    train(sagemaker, "newest")
    gone = first["TrainingJobSummaries"][50]["TrainingJobName"]
    sagemaker._store.delete("training-job", gone)
    second = sagemaker.call(
        "ListTrainingJobs", {"MaxResults": 100, "NextToken": first["NextToken"]}
    )
    names = [job["TrainingJobName"] for job in second["TrainingJobSummaries"]]
    assert names == thousand[::-1][100:200]


def test_a_page_of_jobs_is_cut_before_status_and_name_filter_it(
    sagemaker: SageMakerService, thousand: list[str]
) -> None:
    asked = {"StatusEquals": "Completed", "MaxResults": 1}
    newest = sagemaker.call("ListTrainingJobs", {**asked, "CreationTimeBefore": 1_700_000_002.5})
    assert newest["TrainingJobSummaries"] == [] and newest["NextToken"]
    pages = listed(sagemaker, **asked, CreationTimeBefore=1_700_000_002.5)
    assert [len(page) for page in pages] == [0, 0, 1] * 3
    named = sagemaker.call("ListTrainingJobs", {"NameContains": thousand[0], "MaxResults": 100})
    assert named["TrainingJobSummaries"] == [] and named["NextToken"]
    late = listed(sagemaker, CreationTimeAfter=1_700_000_333, MaxResults=1)
    assert late == [[thousand[-1]]]


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("ListTrainingJobs", {}),
        ("ListModels", {}),
        ("ListEndpoints", {}),
        ("ListEndpointConfigs", {}),
        ("ListModelPackageGroups", {}),
        ("ListModelPackages", {}),
        ("ListNotebookInstances", {}),
        ("ListNotebookInstanceLifecycleConfigs", {}),
        ("ListCodeRepositories", {}),
        ("ListMonitoringSchedules", {}),
        ("ListTags", {"ResourceArn": "arn:aws:sagemaker:us-east-1:000000000000:model/m"}),
        ("Search", {"Resource": "Model"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_token_that_no_answer_has_had_is_refused(
    sagemaker: SageMakerService, operation: str, params: dict[str, Any]
) -> None:
    sagemaker.call("CreateModel", {"ModelName": "m", "ExecutionRoleArn": ROLE, **CONTAINER})
    with pytest.raises(ServiceError, match="Invalid pagination token") as caught:
        sagemaker.call(operation, {**params, "NextToken": "rubbish"})
    assert caught.value.code == "ValidationException"
