"""Confines the process that runs it, then becomes another program: a script of its own.

It is run with nothing but the standard library, by the launcher (the request is in a file without a
name) and by the process that functions are forked from. It imports little, since every process that
is started waits for it: of JSON alone the import takes as long as all else. What it does, in this
order, each where the request says that the system offers it:

    user and mount namespaces   a /tmp, /dev/shm and /run of its own; folders that are hidden, and
                                folders that are shown at a second place, as /opt/ml
    seccomp                     no sockets but those of TCP
    Landlock                    files, processes of others, TCP ports, abstract sockets, signals
    capabilities                none is left, also for root

Nothing is passed over in silence: what was asked for and does not work ends the process.
"""

import ctypes
import marshal
import os
import stat
import struct
import sys
from collections.abc import Iterable
from typing import Any

# The launcher's exit code where it cannot confine; a shell's own where there is no program.
CANNOT_CONFINE = 125
CANNOT_START = 126

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_RULE_PATH, _RULE_PORT = 1, 2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_REG = 1 << 5, 1 << 8
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
# What a rule for a file, and not for a folder, may hold.
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_DEVICE = _READ_FILE | _WRITE_FILE | _IOCTL_DEV
# Files whose names one knows, and no list of them.
_BY_NAME = _READ_FILE | _WRITE_FILE | _TRUNCATE | _REMOVE_FILE | _MAKE_REG
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1
# How many of the rights on files each version knows, from the first on.
_RIGHTS = (13, 14, 15, 15, 16)
_PORTS_SINCE, _SCOPES_SINCE = 4, 6

_NO_NEW_PRIVILEGES, _SECCOMP, _DROP_BOUND, _SET_DUMPABLE = 38, 22, 24, 4
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT = 0x1, 0x2, 0x4, 0x20
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_ARCHITECTURES = {"x86_64": (0xC000003E, 41, 425), "aarch64": (0xC00000B7, 198, 425)}


# The C library, whose calls set errno.
_libc: Any = ctypes.CDLL(None, use_errno=True)


def landlock_version() -> int:
    """Which version of Landlock the kernel offers; 0 for none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(int(_libc.syscall(_LANDLOCK_CREATE, None, 0, 1)), 0)


def confine(request: dict[str, Any]) -> None:
    """Confine this process, and all that it starts, for good.

    Raises:
        OSError: when a part of what was asked for cannot be had.
    """
    if request.get("namespaces"):
        _enter_namespaces(request)
    _checked(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no_new_privs")
    if request.get("only_tcp"):
        _allow_only_tcp()
    if request.get("landlock"):
        _restrict(request, landlock_version())
    _drop_capabilities()


# --- Landlock


def _restrict(request: dict[str, Any], version: int) -> None:
    if not version:
        raise OSError("Landlock is not offered any more")
    rights = (1 << _RIGHTS[min(version, len(_RIGHTS)) - 1]) - 1
    ports = 0
    if version >= _PORTS_SINCE:
        ports |= _CONNECT_TCP if request.get("connect") is not None else 0
        ports |= _BIND_TCP if request.get("bind") is not None else 0
    scopes = _ABSTRACT_SOCKETS | _SIGNALS if version >= _SCOPES_SINCE else 0
    size = 8 if version < _PORTS_SINCE else 16 if version < _SCOPES_SINCE else 24
    attributes = struct.pack("=QQQ", rights, ports, scopes)
    ruleset = _libc.syscall(_LANDLOCK_CREATE, attributes, size, 0)
    _checked(ruleset, "landlock_create_ruleset")
    try:
        for name, allowed in (
            ("read", _READ),
            ("write", rights),
            ("devices", _DEVICE),
            ("by_name", _BY_NAME),
        ):
            for path in request.get(name, ()):
                _allow_path(ruleset, path, allowed & rights)
        for name, right in (("connect", _CONNECT_TCP), ("bind", _BIND_TCP)):
            if ports & right:
                _allow_ports(ruleset, request[name], right)
        _checked(_libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow_path(ruleset: int, path: str, allowed: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        # What is not there needs no rule, and what cannot be reached gets none.
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            allowed &= _OF_FILES
        rule = struct.pack("=Qi", allowed, descriptor)
        _checked(
            _libc.syscall(_LANDLOCK_ADD, ruleset, _RULE_PATH, rule, 0),
            f"landlock_add_rule for {path}",
        )
    finally:
        os.close(descriptor)


def _allow_ports(ruleset: int, given: Iterable[Any], right: int) -> None:
    """Allow ports, and ranges of them as [first, last]: each takes a rule of its own."""
    call, rule = _libc.syscall, (ctypes.c_uint64 * 2)(right, 0)
    for each in given:
        for port in [each] if isinstance(each, int) else range(each[0], each[1] + 1):
            rule[1] = port
            _checked(call(_LANDLOCK_ADD, ruleset, _RULE_PORT, rule, 0), "landlock_add_rule")


# --- seccomp


def _allow_only_tcp() -> None:
    """Refuse every socket but those of TCP, and of netlink, which tells the interfaces.

    Landlock knows no UDP, and no sockets that are files. A pair of connected sockets stays allowed.
    """
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        return
    architecture, socket_call, io_uring = _ARCHITECTURES[machine]
    allow, refuse = 0x7FFF0000, 0x00050000 | 13
    load, equal, above, masked, give = 0x20, 0x15, 0x35, 0x54, 0x06
    # Offsets in what the kernel shows of a call: its number, its architecture, its arguments.
    number, kind, domain, style = 0, 4, 16, 24
    af_inet, af_inet6, af_netlink, stream = 2, 10, 16, 1
    program = [
        (load, 0, 0, kind),
        (equal, 0, 11, architecture),
        (load, 0, 0, number),
        # Of x86-64, the calls of the ABI x32.
        (above, 9, 0, 0x40000000),
        # By io_uring a socket could be had without a call of socket().
        (equal, 8, 0, io_uring),
        (equal, 0, 6, socket_call),
        (load, 0, 0, domain),
        (equal, 4, 0, af_netlink),
        (equal, 1, 0, af_inet),
        (equal, 0, 3, af_inet6),
        (load, 0, 0, style),
        (masked, 0, 0, 0xF),
        (equal, 0, 1, stream),
        (give, 0, 0, allow),
        (give, 0, 0, refuse),
    ]
    # The jumps above count from the next line: to `allow`, last but one, or to `refuse`, the last.
    allowing, refusing = len(program) - 2, len(program) - 1
    targets = {
        1: (None, refusing),
        3: (refusing, None),
        4: (refusing, None),
        5: (None, allowing),
        7: (allowing, None),
        8: (10, None),
        9: (None, refusing),
        12: (allowing, refusing),
    }
    code = b""
    for place, (operation, _, _, value) in enumerate(program):
        yes, no = targets.get(place, (None, None))
        jumps = [0 if target is None else target - place - 1 for target in (yes, no)]
        code += struct.pack("=HBBI", operation, *jumps, value)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    _checked(_libc.prctl(_SECCOMP, 2, header, 0, 0), "seccomp")


# --- namespaces


def _enter_namespaces(request: dict[str, Any]) -> None:
    """Get folders of this process's own in the place of those that all share.

    Of what is hidden thereby, what the rules allow comes back at its place.
    """
    user, group = os.geteuid(), os.getegid()
    _checked(_libc.unshare(_NEW_USER | _NEW_MOUNTS), "unshare")
    # A process that has not become another program since is root's in /proc, and could not write.
    _libc.prctl(_SET_DUMPABLE, 1, 0, 0, 0)
    for file, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{file}", "w") as opened:
            opened.write(text)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    hidden = [
        place
        for place in ("/run", "/dev/shm", *request.get("hide", ()))
        if os.path.isdir(place) and not os.path.islink(place)
    ]
    # Opened here, since only what is opened in these namespaces can be mounted in them.
    kept: dict[str, tuple[int, bool]] = {}
    for name in ("read", "write"):
        for path in request.get(name, ()):
            real = os.path.realpath(path)
            if os.path.exists(real) and any(_inside(real, place) for place in ("/tmp", *hidden)):
                kept[real] = os.open(real, os.O_PATH | os.O_CLOEXEC), name == "read"
    own = os.open(request["temporary"], os.O_PATH | os.O_CLOEXEC)
    shown = [
        (place, os.open(path, os.O_PATH | os.O_CLOEXEC), _is_written(request, path))
        for place, path in request.get("show", {}).items()
    ]
    for place in hidden:
        _mount("tmpfs", place, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=1777")
    _mount(f"/proc/self/fd/{own}", "/tmp", None, _MS_BIND | _MS_REC)
    os.close(own)
    # The shorter first: a folder comes back before what lies in it.
    for path, (descriptor, read_only) in sorted(kept.items()):
        _come_back(path, descriptor, read_only=read_only)
        os.close(descriptor)
    for place, descriptor, written in shown:
        _make_place(place)
        _come_back(place, descriptor, read_only=not written)
        os.close(descriptor)
    if request.get("terminals"):
        _mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620")
        if not os.path.islink("/dev/ptmx"):
            _mount("/dev/pts/ptmx", "/dev/ptmx", None, _MS_BIND)


def _is_written(request: dict[str, Any], path: str) -> bool:
    return any(_inside(path, place) for place in request.get("write", ()))


def _make_place(place: str) -> None:
    """Have a folder at a path, without writing into a folder of the system.

    The nearest folder above it that exists is covered by one that holds the same, and the place.
    """
    if os.path.isdir(place):
        return
    above = os.path.dirname(place)
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    held = {
        name: os.open(os.path.join(above, name), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        for name in os.listdir(above)
    }
    _mount("tmpfs", above, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=755")
    for name, descriptor in held.items():
        path, mode = os.path.join(above, name), os.fstat(descriptor).st_mode
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink("", dir_fd=descriptor), path)
        elif stat.S_ISDIR(mode) or stat.S_ISREG(mode):
            _come_back(path, descriptor, read_only=False)
        os.close(descriptor)
    os.makedirs(place)


def _come_back(path: str, descriptor: int, *, read_only: bool) -> None:
    if os.path.exists(path):
        # It came back with the folder above it.
        pass
    elif stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.makedirs(path)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    # With what is mounted inside: a part of a tree that others have mounted must not be uncovered.
    _mount(f"/proc/self/fd/{descriptor}", path, None, _MS_BIND | _MS_REC)
    if read_only:
        # The file system's own flags are locked, and must be named again.
        found = os.statvfs(path).f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC)
        _mount(None, path, None, _MS_BIND | _MS_REMOUNT | _MS_RDONLY | found)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind)]
    _checked(_libc.mount(*texts, ctypes.c_ulong(flags), data.encode()), f"mount of {target}")


def _inside(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


# --- capabilities


def _drop_capabilities() -> None:
    """Give up every capability: of root, and of who is root in a namespace of its own."""
    number = 0
    while _libc.prctl(_DROP_BOUND, number, 0, 0, 0) == 0:
        number += 1
    version_3 = 0x20080522
    header, none = struct.pack("=Ii", version_3, 0), bytes(24)
    _checked(_libc.capset(header, none), "capset")


def _checked(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _probe() -> None:
    """Print what the system offers: the version of Landlock, and whether namespaces work."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        works = b"0"
        try:
            _enter_namespaces({"temporary": os.environ.get("TMPDIR", "/tmp"), "terminals": True})
            works = b"1"
        finally:
            os.write(write_end, works)
            os._exit(0)
    os.close(write_end)
    works = os.read(read_end, 1)
    os.waitpid(child, 0)
    namespaces = str(works == b"1").lower()
    sys.stdout.write(f'{{"landlock": {landlock_version()}, "namespaces": {namespaces}}}')


def main() -> None:
    """Read the request, confine this process, and become the program."""
    if sys.argv[1] == "probe":
        _probe()
        return
    with os.fdopen(int(sys.argv[1]), "rb") as opened:
        opened.seek(0)
        request = marshal.load(opened)
    try:
        confine(request)
    except OSError as error:
        sys.stderr.write(f"This process cannot be confined, and is not started: {error}\n")
        sys.exit(CANNOT_CONFINE)
    command, environment = request["command"], request["environment"]
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error}\n")
        sys.exit(CANNOT_START)


if __name__ == "__main__":
    main()
