"""What conftest.py here forbids."""

import socket

import pytest

from outreach_core.postgres import Postgres


def test_a_unit_test_cannot_connect_to_a_host() -> None:
    with socket.socket() as probe, pytest.raises(AssertionError, match="tests/integration"):
        probe.connect(("127.0.0.1", 9))
    with pytest.raises(AssertionError, match="tests/integration"):
        socket.create_connection(("localhost", 9))


def test_a_unit_test_cannot_connect_to_a_database() -> None:
    postgres = Postgres(conninfo="host=127.0.0.1 port=9", name="nobody")
    with pytest.raises(AssertionError, match="tests/integration"), postgres.connect():
        pass
