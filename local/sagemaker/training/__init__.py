"""Training jobs: from the request to the artifacts in S3."""
