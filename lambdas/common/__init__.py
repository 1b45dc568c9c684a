"""What the functions of every subject need: clients, settings, a log."""
