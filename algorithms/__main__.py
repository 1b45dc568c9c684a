"""`python -m algorithms train|serve`: the entry point of every algorithm's container."""

import os
import sys


def main() -> int:
    """Run what ALGORITHM_NAME, or SCRIPT_FRAMEWORK, names, as the platform asks."""
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    if command not in {"train", "serve"}:
        print("usage: python -m algorithms train|serve", file=sys.stderr)
        return 2

    script = os.environ.get("SCRIPT_FRAMEWORK")
    if script:
        return _run_script(command, script)

    from algorithms.toolkit import available

    name = os.environ.get("ALGORITHM_NAME", "")
    if name not in available():
        print(
            f"ALGORITHM_NAME is '{name}'; one of {', '.join(available())} is allowed",
            file=sys.stderr,
        )
        return 2
    if command == "train":
        from algorithms.toolkit.training import run

        return run(name)

    # Requests run beside each other, one a worker; threads within one would only queue for cores.
    # Numeric libraries read this when they are first imported.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

    from algorithms.toolkit.serving import run as serve

    return serve(name)


def _run_script(command: str, name: str) -> int:
    from algorithms.scripts import framework

    if command == "train":
        from algorithms.scripts.training import run

        return run(framework(name))
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from algorithms.scripts.serving import run as serve

    return serve(framework(name))


if __name__ == "__main__":
    sys.exit(main())
