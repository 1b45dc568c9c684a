"""One module a function: read the event, call the logic, give back what the next state needs."""
