"""Runs the local AWS in this process until it is told to stop.

`python -m local.server --port 4566 --state .local/state`. Everything it leaves lies under the state
folder. It answers `GET /_smp/ready` once it serves, and ends within seconds of SIGTERM or SIGINT.
"""

import argparse
import errno
import os
import sys
from dataclasses import replace
from pathlib import Path

from local.containers import engine
from local.emulator import environment
from local.handover import Handover, listen

PORT_TAKEN = 3


def main(arguments: list[str] | None = None) -> int:
    """Serve; the exit code is 0 after a signal, 3 when the port is taken."""
    settings = _settings(arguments)
    if settings.listener is None:
        # Before all else: of two that want one port, the second has touched nothing.
        try:
            settings = replace(settings, listener=listen(environment.HOST, settings.port))
        except (OSError, OverflowError) as error:
            number = getattr(error, "errno", None)
            reason = "in use" if number == errno.EADDRINUSE else _reason(error)
            sys.stderr.write(
                f"Port {settings.port} of {environment.HOST} cannot be served: {reason}. "
                "Stop what uses it or choose another with --port.\n"
            )
            return PORT_TAKEN
    # What it keeps is its user's alone.
    os.umask(0o077)
    environment.prepare(settings)
    # Only now: ministack reads its environment while it is imported.
    from local.emulator.running import serve

    return serve(settings)


def _settings(arguments: list[str] | None) -> environment.Settings:
    parser = argparse.ArgumentParser(prog="python -m local.server", description=__doc__)
    parser.add_argument("--port", type=int, default=4566)
    parser.add_argument("--state", type=Path, default=Path(".local/state"))
    parser.add_argument(
        "--credentials",
        type=Path,
        help="where the administrator's key is written; beside the state unless said",
    )
    parser.add_argument(
        "--wait-scale",
        type=float,
        default=1.0,
        help="how long Wait states and retries of state machines take, as a part of what they say",
    )
    parser.add_argument(
        "--record-trail", action="store_true", help="keep a CloudTrail of all calls"
    )
    parser.add_argument("--log-level", default="WARNING")
    # By `smp` alone: the numbers of the descriptors that it hands over.
    parser.add_argument("--listener", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--secret", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    state = given.state.resolve()
    listener, secret = None, ""
    if given.listener is not None and given.secret is not None:
        handover = Handover.taken(given.listener, given.secret)
        listener, secret = handover.listener, handover.secret
    return environment.Settings(
        port=given.port,
        state=state,
        credentials=(given.credentials or state.parent / "credentials.json").resolve(),
        wait_scale=given.wait_scale,
        record_trail=given.record_trail,
        log_level=given.log_level.upper(),
        docker=engine.address(),
        listener=listener,
        secret=secret,
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


if __name__ == "__main__":
    sys.exit(main())
