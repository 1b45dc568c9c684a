"""How long SageMaker's own log groups are kept."""
