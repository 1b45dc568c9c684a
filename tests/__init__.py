"""Named here, since a library of the notebooks installs a package `tests` of its own."""
