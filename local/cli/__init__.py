"""`smp`: the SageMaker platform on this machine."""

from local.cli.main import app

__all__ = ["app"]
