"""Simulated logins of a web site: who came from which address, day by day.

The process is that of AWS's sample for IP Insights. Networks (autonomous systems) own blocks of
addresses. Each user has a network at home and one at work, and logs in from some address of theirs;
home addresses change within a small block, companies go out through few addresses. Now and then
a user travels, and logs in from the network of another place. An intruder comes from anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Addresses = npt.NDArray[np.uint32]

# The lengths of the prefixes that a network owns, and how many of them it may.
_PREFIXES = (14, 15, 16, 17, 18, 19, 20)
_BLOCKS = 4
# What a home moves about in, and what a company goes out through.
_HOME_ADDRESSES = 256
_WORK_ADDRESSES = 16
_AT_WORK = 0.4


@dataclass(frozen=True)
class Logins:
    """Who logged in from where: the number of each user, and IPv4 addresses as numbers."""

    users: Numbers
    addresses: Addresses

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: Numbers | slice | npt.NDArray[np.bool_]) -> Logins:
        """Some of the logins."""
        return Logins(self.users[rows], self.addresses[rows])

    def csv(self) -> bytes:
        """A channel of IP Insights."""
        lines = [
            f"user_{user},{dotted(address)}"
            for user, address in zip(self.users.tolist(), self.addresses.tolist(), strict=True)
        ]
        return "\n".join(lines).encode() + b"\n"


def dotted(address: int) -> str:
    """An IPv4 address as people write it."""
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


class World:
    """Networks and users, who log in as long as is asked.

    Args:
        users: how many.
        networks: how many own blocks of addresses; some are far larger than others.
        travel: the odds that a user logs in from another place.
        seed: of everything.
    """

    def __init__(
        self, users: int = 1000, networks: int = 300, travel: float = 0.02, seed: int = 0
    ) -> None:
        self._random = random = np.random.default_rng(seed)
        self._travel = travel
        self.users = users
        self._blocks = _blocks(networks, random)
        self._popular = random.pareto(1.0, networks) + 0.1
        self._popular /= self._popular.sum()
        homes = self._somewhere(users)
        self._homes = homes - homes % _HOME_ADDRESSES
        # Companies share their way out among those who work there.
        companies = self._somewhere(max(1, users // 20))
        self._work = random.choice(companies - companies % _WORK_ADDRESSES, size=users)
        self._active = random.pareto(1.5, users) + 0.5
        self._active /= self._active.sum()

    def logins(self, count: int) -> Logins:
        """The next logins."""
        random = self._random
        users = random.choice(self.users, size=count, p=self._active)
        work = random.random(count) < _AT_WORK
        found = np.where(
            work,
            self._work[users] + random.integers(_WORK_ADDRESSES, size=count),
            self._homes[users] + random.integers(_HOME_ADDRESSES, size=count),
        )
        away = random.random(count) < self._travel
        return Logins(users, np.where(away, self._somewhere(count), found).astype(np.uint32))

    def intrusions(self, count: int) -> Logins:
        """Logins in the name of users, from the networks of anybody."""
        users = self._random.choice(self.users, size=count, p=self._active)
        networks = self._random.integers(len(self._popular), size=count)
        return Logins(users, self._within(networks).astype(np.uint32))

    def _somewhere(self, count: int) -> Numbers:
        """Addresses of networks, more of those that are popular."""
        return self._within(self._random.choice(len(self._popular), size=count, p=self._popular))

    def _within(self, networks: Numbers) -> Numbers:
        starts, sizes = self._blocks
        which = self._random.integers(_BLOCKS, size=len(networks))
        offset = self._random.random(len(networks)) * sizes[networks, which]
        return starts[networks, which] + offset.astype(np.int64)


def _blocks(networks: int, random: np.random.Generator) -> tuple[Numbers, Numbers]:
    """First address and size of the blocks of each network: networks x blocks, none overlaps."""
    # Each block has a /14 of its own: those from 1.0.0.0 to 223.255.255.255 that are public enough.
    places = random.choice(np.arange(64, 223 * 64), size=networks * _BLOCKS, replace=False)
    lengths = random.choice(_PREFIXES, size=networks * _BLOCKS)
    sizes = (1 << (32 - lengths)).astype(np.int64)
    starts = places.astype(np.int64) << 18
    return starts.reshape(networks, _BLOCKS), sizes.reshape(networks, _BLOCKS)


def unseen(found: Logins, known: Logins) -> Logins:
    """The logins whose user was not yet known to come from that address."""
    pairs = (known.users << 32) | known.addresses
    return found.take(~np.isin((found.users << 32) | found.addresses, pairs))
