"""Zips of functions and layers are read to their end before they are taken.

ministack looks at a zip's directory alone: one with a flipped byte would be taken, and fail at the
first call; one of a million empty files would be unpacked for each worker.
"""

import functools
from typing import Any

from algorithms.toolkit.archives import ArchiveError, Limits, check_zip

# AWS's limit of all that a function unpacks to. Its limits of members and names are not published.
_LIMITS = Limits(volume=262_144_000)


def install() -> None:
    """Let the check of ministack's for what is no zip look at every member, too."""
    from ministack.core.responses import error_response_json
    from ministack.services import lambda_svc

    reject = lambda_svc._reject_unreadable_zip

    @functools.wraps(reject)
    def rejected(zip_data: bytes | None) -> Any:
        refused = reject(zip_data)
        # What is too large, ministack refuses in AWS's words.
        if refused or not zip_data or lambda_svc._unzipped_size(zip_data) > _LIMITS.volume:
            return refused
        try:
            check_zip(zip_data, _LIMITS)
        except ArchiveError as error:
            text = (
                "Could not unzip uploaded file. Please check your file, then try to upload "
                f"again. ({str(error)[:1].upper()}{str(error)[1:]}.)"
            )
            return error_response_json("InvalidParameterValueException", text, 400)
        return None

    lambda_svc._reject_unreadable_zip = rejected
