"""Whether the data of a request are there, asked before anything is created."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from jobs.compile import locations, nothing_found
from jobs.request import JobRequest
from jobs.settings import Platform

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def problems(s3: "S3Client", platform: Platform, request: JobRequest) -> list[str]:
    """What is wrong with the channels' locations, in SageMaker's words."""
    found = []
    for location in locations(request):
        try:
            listed = s3.list_objects_v2(Bucket=location.bucket, Prefix=location.prefix, MaxKeys=1)
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
            found.append(nothing_found(location, platform, f"S3 answered {code}: {message}"))
            continue
        # The SDK follows a bucket into its region, and SageMaker does not.
        region = listed["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        if region and region != platform.region:
            found.append(nothing_found(location, platform, f"The bucket is in {region}."))
        elif not listed.get("Contents"):
            found.append(nothing_found(location, platform))
    return found
