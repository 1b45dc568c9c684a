"""`smp`: the SageMaker platform on this machine."""


def app() -> int:
    """Run the command line; the exit code."""
    # In here, so that whatever hinders the imports is told in a sentence, too.
    from local.cli.guard import run

    return run()
