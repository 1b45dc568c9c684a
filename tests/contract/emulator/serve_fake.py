"""Runs the emulator with the fake service; arguments as `python -m local.server` takes them."""

import sys

from emulator.fake_sagemaker import FakeSageMaker
from local import server
from local.emulator import environment, running

settings = server._settings(sys.argv[1:])
environment.prepare(settings)
sys.exit(running.serve(settings, lambda _: FakeSageMaker()))
