"""Readers and writers of the formats that the built-in algorithms exchange."""
