"""What the lifecycle scripts call: `create`, `start`, `packages` and `agent`."""

from __future__ import annotations

import json
import sys

from notebook_instance import samples
from notebook_instance.settings import Places, Settings


def create(settings: Settings, places: Places) -> None:
    """Once in an instance's life: put the samples onto its volume."""
    copied = samples.place(places.delivered / "samples", places.shown)
    print(f"samples: {len(copied)} files into {places.shown}")


def start(settings: Settings, places: Places) -> None:
    """At each start: newer samples, AWS's own, and the names of the platform's parts."""
    create(settings, places)
    if samples.link_examples(places.home, places.volume):
        print(f"samples: AWS's own as {places.volume / samples.EXAMPLES}")
    names = places.shown / "platform.json"
    names.write_text(json.dumps(settings.platform, indent=1) + "\n", encoding="utf-8")
    print(f"names of the platform: {names}")


def packages(settings: Settings, places: Places) -> None:
    """Install into the kernel what lies in the bucket for it."""
    import boto3

    from notebook_instance import packages as kernel_packages

    s3 = boto3.session.Session(region_name=settings.region).resource("s3")
    folder = places.delivered / "packages"
    wheels = kernel_packages.fetch(
        s3.Bucket(settings.packages_bucket), settings.packages_prefix, folder
    )
    if kernel_packages.install(kernel_packages.kernel(places.home), folder):
        print(f"packages: installed what requirements.txt asks for, from {wheels} wheels")
    else:
        print(f"packages: no requirements.txt in {settings.packages_prefix}, nothing to install")


def watch(settings: Settings, places: Places) -> None:
    """Watch over the instance until it stops."""
    # Not before it is needed: what an instance waits for in its start asks AWS for nothing.
    from notebook_instance import agent

    agent.run(settings, places)


COMMANDS = {"create": create, "start": start, "packages": packages, "agent": watch}


def main(arguments: list[str]) -> None:
    """Run one command."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        sys.exit(f"usage: python -m notebook_instance {'|'.join(COMMANDS)}")
    places = Places.of_this_instance()
    COMMANDS[arguments[0]](Settings.read(places.delivered / "settings.json"), places)


if __name__ == "__main__":
    main(sys.argv[1:])
