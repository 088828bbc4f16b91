"""Serving exported models: clients of a running server, the embedded server, and the choice of a server."""
