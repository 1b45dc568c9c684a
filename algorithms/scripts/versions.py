"""Which version of a framework is installed here, and how it differs from an image's."""

from __future__ import annotations

import importlib.metadata
import logging
import os

from algorithms.catalog.frameworks import Framework

# The version in the tag of the image that the process stands for.
VARIABLE = "SCRIPT_IMAGE_VERSION"

log = logging.getLogger("algorithms")


def installed(framework: Framework) -> str:
    """The version that is installed; empty when none is."""
    for name in framework.distributions:
        try:
            return importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def difference(framework: Framework, asked: str) -> str:
    """Say how what runs here differs from the version of an image; empty where it does not."""
    here = installed(framework)
    # AWS writes 1.2-1 for its first image of scikit-learn 1.2, and 3.0-5 for XGBoost 3.0.5.
    wanted = asked.partition("-")[0].split(".")[:2]
    if not asked or not here or here.split(".")[: len(wanted)] == wanted:
        return ""
    return (
        f"The image has {framework.title} {asked}; {framework.title} {here} runs here in its "
        "place. Where the two differ, in what they offer or in the artifacts that they read, the "
        "script behaves differently on AWS."
    )


def tell(framework: Framework) -> None:
    """Write into the log what runs, and how it differs from what was asked for."""
    log.info("%s %s runs the script", framework.title, installed(framework))
    if text := difference(framework, os.environ.get(VARIABLE, "")):
        log.warning("%s", text)
