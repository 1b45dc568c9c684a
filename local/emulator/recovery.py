"""After a restart: what ran when the server died is ended truthfully, or goes on."""


def recover() -> None:
    """Mend what the restored state says of threads that are gone; before anything is served."""


def resume() -> None:
    """Begin again what goes on by itself; once the server's loop runs."""
