"""Endpoints: model servers, who may be asked, and what an invocation answers."""
