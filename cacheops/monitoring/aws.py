"""CloudWatch's client: the only module that imports boto3, and is itself loaded where that is needed."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ERRORS = (BotoCoreError, ClientError)
ATTEMPTS = 5  # of botocore, with growing pauses
CONNECT_SECONDS, READ_SECONDS = 5, 10


def make_client() -> Any:
    """Return a client that tries again by itself. Region, credentials and endpoint are the environment's (AWS_...)."""
    retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    limits = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries=retries)
    return boto3.client("cloudwatch", config=limits)
