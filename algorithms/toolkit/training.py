"""The life of a training process, from the platform's files to exit code and failure text."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from algorithms.toolkit.algorithm import module
from algorithms.toolkit.errors import AlgorithmError, CustomerError, StopRequested
from algorithms.toolkit.formats.table import FormatError
from algorithms.toolkit.job import base_folder, read_job

FAILURE_CHARACTERS = 1024

log = logging.getLogger("algorithms")


def run(name: str) -> int:
    """Train as the files below the base folder say, and return the exit code."""
    start_log()
    log.info("Docker entrypoint called with argument(s): train")
    base = base_folder()
    try:
        job = read_job(name, base)
        job.watch_signals()
        log.info("Final configuration: %s", job.hyperparameters)
        module(name).train(job)
    except StopRequested:
        log.info("Stopped by request of the platform")
    except (CustomerError, FormatError) as error:
        return _fail(base, CustomerError, str(error))
    except AlgorithmError as error:
        return _fail(base, AlgorithmError, str(error))
    except MemoryError:
        return _fail(
            base,
            CustomerError,
            "Please use an instance type with more memory, or reduce the size of training data",
        )
    except Exception as error:
        log.exception("The algorithm ended by an error of its own")
        return _fail(base, AlgorithmError, f"{type(error).__name__}: {error}")
    return 0


def start_log() -> None:
    """Log to stdout, one line an event, in the form of AWS's own containers."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        logging.Formatter(
            "[%(asctime)s %(levelname)s %(thread)d] %(message)s", datefmt="%m/%d/%Y %H:%M:%S"
        )
    )
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)


def fail_at_once(base: Path, reason: str) -> None:
    """End the process with a reason, whatever its other threads are waiting for."""
    code = _fail(base, AlgorithmError, reason)
    sys.stdout.flush()
    os._exit(code)


def _fail(base: Path, kind: type[CustomerError | AlgorithmError], text: str) -> int:
    log.error("%s: %s", kind.log_prefix, text)
    path = base / "output" / "failure"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{kind.prefix}: {text}"[:FAILURE_CHARACTERS])
    return 1
