"""The network of a private environment."""
