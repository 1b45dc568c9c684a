"""What a SageMaker instance costs an hour on AWS, where that is known here.

Nothing on this machine can ask AWS's price list. The few prices below, training and real-time
inference alike, were read from public sources that agree with each other, among them AWS's own
foundation-model-benchmarking-tool. A type that is not listed is unknown, and said to be.
"""

REGION = "us-east-1"
READ_ON = "November 2026"
USD_PER_HOUR = {
    "ml.m5.large": 0.115,
    "ml.m5.xlarge": 0.23,
    "ml.c5.xlarge": 0.204,
}


def hourly(instance_type: str, count: int) -> str:
    """The price of `count` instances in words."""
    each = USD_PER_HOUR.get(instance_type)
    if each is None:
        return f"{count} x {instance_type}: price unknown, see aws.amazon.com/sagemaker/pricing"
    return (
        f"{count} x {instance_type}: ${each * count:.3f} an hour, ${each * count * 730:.0f} a month"
        f" ({REGION}, on demand, as of {READ_ON})"
    )
