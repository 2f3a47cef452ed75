"""Unit tests talk to nobody: whatever would open a connection fails, and says so."""

import socket

import psycopg
import pytest


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a unit test opened a connection: it belongs into tests/integration")

    def refuse_unless_local(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX:
            refuse()
        connect(self, address)

    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse_unless_local)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse_unless_local)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(psycopg, "connect", refuse)  # libpq opens its own, unseen by Python
