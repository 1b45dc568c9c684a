"""Which variables of a request reach an algorithm that runs as a process of this machine.

A container gets them all, and what they do stays in it. A process shares the machine's interpreter
and libraries, which would take code, settings and addresses from dozens of variables (LD_PRELOAD,
PYTHONPATH, OPENSSL_CONF, GCONV_PATH and more with every release): so those pass alone that the
algorithms read.
"""

import re
from collections.abc import Iterable, Mapping

_READ = re.compile(
    r"SAGEMAKER_\w+|MODEL_SERVER_WORKERS|OMP_NUM_THREADS|OMP_WAIT_POLICY"
    r"|INFERENCE_PREFERRED_MODE|DEEPAR_INFERENCE_CONFIG",
    re.ASCII,
)
_KNOWN = (
    "SAGEMAKER_*, MODEL_SERVER_WORKERS, OMP_NUM_THREADS, OMP_WAIT_POLICY, "
    "INFERENCE_PREFERRED_MODE and DEEPAR_INFERENCE_CONFIG"
)


def passed(environment: Mapping[str, str]) -> dict[str, str]:
    """Give what an algorithm is told of an Environment."""
    return {name: value for name, value in environment.items() if _READ.fullmatch(name)}


def note(environment: Iterable[str]) -> str:
    """Say for the log which variables are not passed on; empty when all are."""
    left = sorted(name for name in environment if not _READ.fullmatch(name))
    if not left:
        return ""
    return (
        f"Not passed on of Environment: {', '.join(left)}. A built-in algorithm reads {_KNOWN} "
        "alone; an image of your own runs in Docker and gets all variables."
    )
