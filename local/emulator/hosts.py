"""Under which names the platform is reached, and from which web pages.

A page whose own name is made to resolve to loopback (DNS rebinding) sends that name as Host; a page
of another site sends its Origin. Neither is served.
"""

import re
from collections.abc import Callable, Collection, Mapping

from local.emulator.environment import HOST
from local.emulator.refusals import Failure, Refused

# A label of S3's virtual-hosted addresses: BUCKET.localhost.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
# What a browser says of a request that a page of this origin, or its user, made.
_OWN_SITE = frozenset({"same-origin", "none"})


class Hosts:
    """The names of one platform.

    `relays` gives the addresses at which containers of jobs and endpoints reach it.
    """

    def __init__(self, port: int, relays: Callable[[], Collection[str]] = tuple) -> None:
        self._own = frozenset({f"{HOST}:{port}", f"localhost:{port}"})
        if port == 80:
            self._own |= {HOST, "localhost"}
        self._suffixes = tuple(f".{name}" for name in self._own if name.startswith("localhost"))
        self._origins = frozenset(f"http://{name}" for name in self._own)
        self._relays = relays

    def bucket(self, headers: Mapping[str, list[str]]) -> str:
        """The bucket that the Host names, as S3's clients write it; empty for the platform itself.

        Raises:
            Refused: The Host is not one of this platform's.
        """
        hosts = headers.get("host", [])
        if len(hosts) != 1:
            raise Refused(Failure.FORBIDDEN, "A request names one Host.")
        host = hosts[0].lower()
        if host in self._own or host in self._relays():
            return ""
        for suffix in self._suffixes:
            bucket = host.removesuffix(suffix)
            if bucket != host and _BUCKET.fullmatch(bucket):
                return bucket
        raise Refused(
            Failure.FORBIDDEN,
            f"The Host {host[:80]!r} is not served. The platform is at {min(self._own)}.",
        )

    def check_page(self, headers: Mapping[str, list[str]]) -> None:
        """Refuse what a web page of another site sent.

        Raises:
            Refused: The request's Origin, or its Sec-Fetch-Site, is another's.
        """
        origins = headers.get("origin", [])
        sites = headers.get("sec-fetch-site", [])
        if any(one not in self._origins for one in origins) or not _OWN_SITE.issuperset(sites):
            raise Refused(Failure.FORBIDDEN, "Requests of web pages of another origin are refused.")
