"""The networks of containers, and the way from them to the platform."""

import contextlib
import secrets
import threading
from ipaddress import IPv4Network
from typing import Any

from local.containers.engine import Engine
from local.containers.relay import Relay, Relays

_ICC = "com.docker.network.bridge.enable_icc"


class Network:
    """One Docker network; `endpoint_url` is the platform as its containers see it, if they may."""

    def __init__(self, network: Any, relay: Relay | None, gateway: str) -> None:  # noqa: ANN401
        self.name = str(network.name)
        self.endpoint_url = f"http://{gateway}:{relay.port}" if relay else ""
        self._network = network
        self._relay = relay

    def close(self) -> None:
        """Remove the network; no container may be left in it."""
        if self._relay is not None:
            with contextlib.suppress(OSError, TimeoutError):
                self._relay.close()
        # It may be gone already, or its engine: what is left then is found by its label.
        with contextlib.suppress(Exception):
            self._network.remove()


class Networks:
    """Makes networks, and keeps those two in which containers that stand alone share a bridge.

    Docker has about thirty networks to give, so that one for each endpoint would be too many.
    """

    def __init__(self, engine: Engine, relays: Relays, platform_port: int) -> None:
        self._engine = engine
        self._relays = relays
        self._port = platform_port
        self._shared: dict[bool, Network] = {}
        self._lock = threading.Lock()

    def own(self, *, isolated: bool) -> Network:
        """Make a network for the hosts of one job, which find each other by name."""
        return self._make(isolated=isolated, talking=True)

    def shared(self, *, isolated: bool) -> Network:
        """Give the network for single containers, which do not reach one another."""
        with self._lock:
            if isolated not in self._shared:
                self._shared[isolated] = self._make(isolated=isolated, talking=False)
            return self._shared[isolated]

    def close(self) -> None:
        """Remove the shared networks."""
        with self._lock:
            for network in self._shared.values():
                network.close()
            self._shared.clear()

    def _make(self, *, isolated: bool, talking: bool) -> Network:
        made = self._engine.client().networks.create(
            f"sagemaker-{secrets.token_hex(6)}",
            driver="bridge",
            # Without a way out: no internet, no other machine, no platform.
            internal=isolated,
            labels={**self._engine.labels},
            options={_ICC: str(talking).lower()},
        )
        try:
            made.reload()
            config = made.attrs["IPAM"]["Config"][0]
            gateway = config.get("Gateway", "").partition("/")[0]
            relay = None
            if not isolated:
                relay = self._relays.open(
                    gateway, IPv4Network(config["Subnet"]), ("127.0.0.1", self._port)
                )
            return Network(made, relay, gateway)
        except BaseException:
            made.remove()
            raise
