"""Asking the server whether it is ready, and making sure that it is the one that was started."""

import http.client
import json
from contextlib import closing
from enum import Enum, auto

from local import handover
from local.platform.record import Server

_SECONDS = 2
_LONGEST = 4096


class Answer(Enum):
    """What came back from the port."""

    READY = auto()
    # Nothing yet.
    SILENT = auto()
    # Something, and not from the server that the record names.
    ANOTHER = auto()


def ask(server: Server) -> Answer:
    """Ask who listens on the server's port to prove that it is that server, and ready."""
    challenge = handover.new_challenge()
    # No proxy of the environment is asked, and no redirection is followed.
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_SECONDS)
    try:
        with closing(connection):
            connection.request("GET", f"{handover.READY}?challenge={challenge}")
            document = json.loads(connection.getresponse().read(_LONGEST))
    except OSError:
        return Answer.SILENT
    except (http.client.HTTPException, ValueError, RecursionError):
        return Answer.ANOTHER
    given = document.get("proof") if isinstance(document, dict) else None
    proven = handover.proves(given, server.secret, server.port, challenge)
    return Answer.READY if proven else Answer.ANOTHER
