"""One module a function: read the event, call the logic, write what it decided."""
