"""A server in a process of its own: what it says when it fails is shown, and it never outlives its use."""

import socket

import pytest

from bandit.client import Client
from simulator.server import HOST, ServerFailed, free_port, serving
from store.errors import HoneyguideError
from store.log.folder_lock import lock_folder

SERVE = ("bandit.cli.main", "serve", "--data")


def _answers(url):
    with Client(url, trust_env=False) as client:
        return client.ready()


def test_server_is_ready_inside_and_gone_outside(tmp_path):
    """Inside the block the server answers; outside nobody does."""
    with serving(*SERVE, str(tmp_path)) as url:
        assert _answers(url)
    assert not _answers(url)


def test_server_is_gone_after_an_error(tmp_path):
    """An error in the block ends the server too, and stays the error."""
    with pytest.raises(ZeroDivisionError), serving(*SERVE, str(tmp_path)) as url:
        1 / 0  # noqa: B018 - raised on purpose
    assert not _answers(url)


def test_last_words_are_shown(tmp_path):
    """A second server on a data folder fails with the server's own explanation."""
    refused = pytest.raises(ServerFailed, match="in use by another Honeyguide server")
    with serving(*SERVE, str(tmp_path)), refused, serving(*SERVE, str(tmp_path)):
        pass


def test_patience_ends(tmp_path):
    """A server that is not ready in time is ended, and the error says how long was waited."""
    failed = pytest.raises(ServerFailed, match=r"not ready within 0\.01 s")
    with failed, serving(*SERVE, str(tmp_path), ready_within_s=0.01):
        pass
    lock_folder(tmp_path).release()  # raises while a server holds the folder


def test_failures_are_ours():
    """The command line prints a failed server as a message, not as a traceback."""
    assert issubclass(ServerFailed, HoneyguideError)


def test_free_port_is_free():
    """The port can be bound."""
    with socket.socket() as taken:
        taken.bind((HOST, free_port()))
