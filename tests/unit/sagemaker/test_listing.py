"""A thousand finished jobs, in pages."""

from typing import Any

import pytest

from local.sagemaker.service import SageMakerService
from tests.unit.sagemaker.surroundings import train

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
