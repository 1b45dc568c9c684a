"""The hosts of a training job: their names, their groups and their addresses."""

import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

# The name that AWS gives the only group of a job that names none.
ONE_GROUP = "homogeneousCluster"
# Far from 127.0.0.1, where people's own servers listen.
_FIRST = int(IPv4Address("127.64.0.1"))
_LAST = int(IPv4Address("127.127.255.254"))


@dataclass(frozen=True)
class Group:
    """The hosts of one instance group."""

    name: str
    instance_type: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Cluster:
    """All hosts of a job, by group, and where each is reached."""

    groups: tuple[Group, ...]
    addresses: Mapping[str, str]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host, from algo-1 on."""
        return tuple(host for group in self.groups for host in group.hosts)

    def places(self) -> list["Place"]:
        """The place of each host."""
        return [Place(self, group, host) for group in self.groups for host in group.hosts]


@dataclass(frozen=True)
class Place:
    """The place of one host among those of its job."""

    cluster: Cluster
    group: Group
    host: str

    def share(self, groups: Sequence[str] = ()) -> tuple[int, int] | None:
        """Which of how many hosts this is, from 0, among those of the groups, or among all.

        None when the groups are named and this host is in none of them.
        """
        among = [
            host
            for group in self.cluster.groups
            if not groups or group.name in groups
            for host in group.hosts
        ]
        return (among.index(self.host), len(among)) if self.host in among else None


def cluster(resources: Mapping[str, Any]) -> Cluster:
    """Name the hosts that a ResourceConfig asks for, as AWS does, and give each an address."""
    groups: list[Group] = []
    named = 0
    for name, instance_type, count in instance_groups(resources):
        hosts = tuple(f"algo-{named + number}" for number in range(1, count + 1))
        groups.append(Group(name, instance_type, hosts))
        named += count
    # Addresses of their own let hosts listen on the same port, also those of other jobs.
    chosen = random.SystemRandom().sample(range(_FIRST, _LAST), named)
    if named == 1 and not own_addresses():
        chosen = [int(IPv4Address("127.0.0.1"))]
    names = [host for group in groups for host in group.hosts]
    addresses = [str(IPv4Address(address)) for address in chosen]
    return Cluster(tuple(groups), dict(zip(names, addresses, strict=True)))


def instance_groups(resources: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """List name, instance type and count of each group; a job without groups is one."""
    if groups := resources.get("InstanceGroups"):
        return [(g["InstanceGroupName"], g["InstanceType"], g["InstanceCount"]) for g in groups]
    return [(ONE_GROUP, resources["InstanceType"], resources["InstanceCount"])]


def own_addresses() -> bool:
    """Whether this machine's loopback has more addresses than one; that of macOS has not."""
    with socket.socket() as probe:
        try:
            probe.bind((str(IPv4Address(_FIRST)), 0))
        except OSError:
            return False
    return True
