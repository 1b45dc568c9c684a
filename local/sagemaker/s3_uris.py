"""S3 URIs, as requests name buckets and objects by them.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

import re
from urllib.parse import unquote, urlsplit

# How SageMaker's own patterns of members begin that hold an S3 URI.
PATTERN = "(https|s3)://"
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_RESERVED = ("xn--", "sthree-", "amzn-s3-demo-")
_KEY_BYTES = 1024
# Both styles of S3's own addresses: with the bucket in the host, or in the path.
_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?s3(?:[.-][a-z0-9-]+)*\.amazonaws\.com(?:\.cn)?")


def parse(uri: str) -> tuple[str, str]:
    """Split an S3 URI into bucket and key; an https:// address of S3 is one, too.

    Raises:
        ValueError: when it is none, or names a bucket or an object that S3 cannot have.
    """
    scheme, separator, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme == "https":
        address = urlsplit(uri)
        found = _HOST.fullmatch(address.netloc)
        if found is None:
            raise ValueError(f"{uri!r} is no address of S3: write s3://BUCKET/KEY.")
        path = unquote(address.path).removeprefix("/")
        bucket, key = (found["bucket"], path) if found["bucket"] else path.partition("/")[::2]
    elif scheme != "s3":
        separator = ""
    if not separator or not bucket:
        raise ValueError(f"{uri!r} is no S3 URI: write s3://BUCKET/KEY.")
    if problem := _of_bucket(bucket):
        raise ValueError(f"{uri!r} is no S3 URI: {problem}.")
    if (size := len(key.encode("utf-8", "surrogatepass"))) > _KEY_BYTES:
        raise ValueError(
            f"{uri!r} is no S3 URI: the key has {size} bytes, and at most {_KEY_BYTES} are allowed."
        )
    return bucket, key


def problem(uri: str) -> str:
    """Why a text is no S3 URI, or an empty text."""
    try:
        parse(uri)
    except ValueError as error:
        return str(error).removeprefix(f"{uri!r} is no S3 URI: ")
    return ""


def _of_bucket(name: str) -> str:
    if not 3 <= len(name) <= 63:
        return f"a bucket name has 3 to 63 characters, and {name!r} has {len(name)}"
    if not _BUCKET.fullmatch(name):
        return (
            "a bucket name has lower case letters, digits, dots and hyphens, and begins and ends "
            f"with a letter or a digit, unlike {name!r}"
        )
    if ".." in name or _ADDRESS.fullmatch(name):
        return f"a bucket name has no two dots in a row and is no IP address, unlike {name!r}"
    if name.startswith(_RESERVED):
        return f"no bucket name begins like {name!r}"
    return ""
