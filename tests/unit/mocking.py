"""AWS as moto mocks it, for what runs in the process of a test."""

from contextlib import AbstractContextManager

from moto import mock_aws


def mocked_aws() -> AbstractContextManager[object]:
    """An empty AWS in this process.

    boto3's session outlives it: a new one would read the models of its services again, which takes
    longer than most tests.
    """
    found: AbstractContextManager[object] = mock_aws(
        config={"core": {"reset_boto3_session": False}}
    )
    return found
