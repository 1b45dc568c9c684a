"""SageMaker's quotas: names and codes, what is used, and who is told when one is hit."""
