"""What can go wrong in a container, sorted by whose it is to mend."""


class CustomerError(Exception):
    """The data or the settings of the job are wrong, and its owner can put them right."""

    prefix = "ClientError"
    log_prefix = "Customer Error"


class AlgorithmError(Exception):
    """The algorithm could not do what it was rightly asked."""

    prefix = "AlgorithmError"
    log_prefix = "Algorithm Error"


class StopRequested(BaseException):
    """The platform asked the process to end (SIGTERM).

    Not an Exception, so that no handler on the way up mistakes it for a failure.
    """
