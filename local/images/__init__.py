"""The containers of the built-in algorithms: built on this machine, pushed to an environment."""
