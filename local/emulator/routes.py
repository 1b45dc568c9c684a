"""What is answered without a signature: this table, and nothing else.

All other paths are operations of AWS, which must be signed, or control paths of the platform, which
its administrator signs for the service `smp`. ministack's own paths (`/_ministack`, `/_localstack`,
`/_aws`, `/health`, instance metadata and others) are not served at all.
"""

import re
from dataclasses import dataclass
from enum import Enum

from local.sagemaker.notebooks.boot import CREDENTIALS_PATH as NOTEBOOK_CREDENTIALS

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class Way(Enum):
    """How a path is protected."""

    OPEN = "says whether the server serves, and no more"
    TOKEN = "asks for a token of its own"  # noqa: S105 - a description
    CONTROL = "is signed by the administrator"
    AWS = "is signed, and evaluated by IAM"
    CLOSED = "is not served"


@dataclass(frozen=True)
class Route:
    """A path that is answered without a signature, and the reason."""

    methods: frozenset[str]
    path: re.Pattern[str]
    way: Way
    why: str


def _route(methods: str, path: str, way: Way, why: str) -> Route:
    return Route(frozenset(methods.split()), re.compile(path), way, why)


WITHOUT_SIGNATURE = (
    _route("GET", "/_smp/ready", Way.OPEN, "says whether the server serves"),
    _route("GET", re.escape(NOTEBOOK_CREDENTIALS), Way.TOKEN, "the notebook instance's own token"),
    _route(
        "PUT",
        f"/_ministack/cfn-(?:response|signal)/{_UUID}",
        Way.TOKEN,
        "the address itself, which CloudFormation gives one custom resource or wait condition",
    ),
    _route(
        "GET HEAD POST PUT PATCH DELETE",
        "/v2/.*",
        Way.TOKEN,
        "ECR's password, as `docker` sends it",
    ),
)
_CONTROL = "/_smp/"
# API Gateway as LocalStack writes it: other people's code without any signature.
_CLOSED = re.compile(r"/restapis/[^/]+/[^/]+/_user_request_(?:/.*)?")


def way_of(method: str, path: str, bucket: str) -> Way:
    """How a request to `path` is protected; `bucket` is what its Host names.

    Names of objects are free: in a virtual-hosted address, any path is S3's.
    """
    if path == "/_ministack/rds/iam-auth":
        # ministack answers it before it looks at anything else.
        return Way.CLOSED
    if bucket:
        return Way.AWS
    for route in WITHOUT_SIGNATURE:
        if method in route.methods and route.path.fullmatch(path):
            return route.way
    if path.startswith(_CONTROL):
        return Way.CONTROL
    # No bucket's name begins so, and no operation of AWS.
    if path.startswith("/_") or _CLOSED.fullmatch(path):
        return Way.CLOSED
    return Way.AWS
