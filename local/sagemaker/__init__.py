"""The SageMaker of the laptop: it trains, keeps, serves and answers as the service does on AWS."""
