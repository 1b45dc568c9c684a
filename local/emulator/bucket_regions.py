"""The one region of the platform's buckets: one elsewhere would be there for some calls only."""

import functools
from typing import Any

from local.emulator.environment import REGION


def install() -> None:
    """Refuse to make a bucket in another region; AWS's other rules of the location still hold."""
    from ministack.services import s3

    problem = s3._location_constraint_error

    @functools.wraps(problem)
    def checked(name: str, constraint: str | None, endpoint_region: str) -> Any:
        wanted = s3._constraint_region(constraint)
        if wanted not in (None, REGION):
            return s3._error(
                "IllegalLocationConstraintException",
                f"The location constraint {wanted} is another region than {REGION}, and the local "
                f"platform has buckets in {REGION} alone: leave LocationConstraint out.",
                400,
                f"/{name}",
            )
        return problem(name, constraint, endpoint_region)

    s3._location_constraint_error = checked
