"""Properties of known CloudFormation types that ministack leaves out."""


def install() -> None:
    """Wrap."""
