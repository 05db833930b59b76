"""Fixtures: one server for the whole run, a new project for each test."""

import pytest

from support import Server


@pytest.fixture(scope="session")
def server():
    running = Server()
    yield running
    running.end()


@pytest.fixture
def db(server):
    client = server.client()
    yield client
    client.close()


@pytest.fixture
def document(db):
    """A document that does not exist yet."""
    return db.document("c/d")


@pytest.fixture
def raw(server):
    client = server.raw()
    yield client
    client.close()
