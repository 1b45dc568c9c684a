"""Runs the emulator with the fake service; arguments as `python -m local.server` takes them."""

import sys

from local import server
from local.emulator import environment, running
from tests.contract.emulator.fake_sagemaker import FakeSageMaker

settings = server._settings(sys.argv[1:])
environment.prepare(settings)
sys.exit(running.serve(settings, lambda given: FakeSageMaker(given.state)))
