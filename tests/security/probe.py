"""What code of a caller tries to reach; it runs in jobs, functions and notebooks."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.confinement import offered

# Gives what could be reached of what it is asked for; only the standard library is imported.
SOURCE = """
import glob, json, os, signal, socket, sys

def reach(asked):
    got = []
    for path in asked.get("read", []):
        try:
            if os.path.isdir(path):
                got += ["listed " + path] if os.listdir(path) else []
            else:
                open(path, "rb").read(1)
                got.append("read " + path)
        except OSError:
            pass
    for path in asked.get("write", []):
        try:
            with open(os.path.join(path, "left-by-the-probe"), "w") as file:
                file.write("x")
            got.append("wrote into " + path)
        except OSError:
            pass
    for pid in asked.get("processes", []):
        for name in ("environ", "mem", "maps", "cwd", "root", "exe", "fd/0", "fd/1"):
            path = "/proc/%d/%s" % (pid, name)
            try:
                if name in ("environ", "mem", "maps"):
                    open(path, "rb").read(1)
                else:
                    os.readlink(path)
                got.append("saw " + path)
            except OSError:
                pass
        try:
            os.kill(pid, 0)
            got.append("could signal %d" % pid)
        except OSError:
            pass
    marker = asked.get("marker", "").encode()
    for path in glob.glob("/proc/[0-9]*/environ") + ["/proc/self/environ"]:
        try:
            if marker and marker in open(path, "rb").read():
                got.append("found the marker in " + path)
        except OSError:
            pass
    for port in asked.get("ports", []):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            got.append("connected to %d" % port)
        except PermissionError:
            pass
        except OSError as error:
            got.append("might connect to %d: %s" % (port, error))
    for family, kind in asked.get("sockets", []):
        try:
            socket.socket(getattr(socket, family), getattr(socket, kind)).close()
            got.append("had a socket %s %s" % (family, kind))
        except OSError:
            pass
    return got
"""


def program(asked: Mapping[str, Any]) -> str:
    """Print what was reached, as one line of JSON."""
    return f"{SOURCE}\nprint(json.dumps(reach(json.loads({json.dumps(json.dumps(asked))}))))\n"


def function() -> str:
    """A function's module, whose event is what it is asked for."""
    return f"{SOURCE}\ndef handler(event, context):\n    return reach(event)\n"


def of_platform(home: Path) -> list[str]:
    """The files and folders of a platform that are nobody's but its own."""
    return [
        *(str(home / name) for name in ("credentials.json", "server.json", "server.log", "state")),
        *(str(path) for path in (home / "state").iterdir() if path.name != "runtime"),
        str(home),
        str(home / "tmp"),
    ]


def beyond_the_way(reached: list[str]) -> list[str]:
    """What was reached, but for what is in a /tmp of one's own: the way to one's folder."""
    own = ("listed /tmp/", "wrote into /tmp/")
    return [one for one in reached if not (offered().namespaces and one.startswith(own))]
