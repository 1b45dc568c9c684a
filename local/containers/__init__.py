"""Docker containers of the local platform: started, watched, connected, and never left behind."""
