"""`smp demo`."""


def demo() -> None:
    """Bring the platform up, train on real data, deploy, and ask the endpoint."""
