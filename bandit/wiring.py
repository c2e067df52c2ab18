"""The composition root: the one place that makes adapters and hands them to who needs them."""

import gc
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI
from threadpoolctl import threadpool_limits

from bandit.api.app import create_app
from bandit.decide import DecisionRequest, Frame, decide
from bandit.exploration import warm_up_guards
from bandit.policies.linear import LinearTs
from bandit.policies.ranked import leaders
from bandit.policies.situation import Situation
from bandit.service.service import Service
from bandit.settings import LoopConfig
from store.errors import StoreUnusable
from store.log.folder_lock import lock_folder
from store.log.sqlite import SqliteStore
from store.records import Action


def system_clock() -> int:
    """Return the time in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


@contextmanager
def open_app(folder: Path) -> Iterator[FastAPI]:
    """Lock a data folder, open its store and yield the application over it.

    Raises `StoreUnusable` when another server holds the folder or its file cannot be used.
    """
    lock = lock_folder(folder)
    try:
        warm_up()
        store = SqliteStore(folder)
        try:
            yield create_app(lambda: Service(store, system_clock))
        finally:
            store.close()
    finally:
        lock.release()


def warm_up() -> None:
    """Compile what a decision runs, or read it from disk: seconds once after an installation, 0.2 s from then on."""
    config = LoopConfig(policy={"kind": LinearTs.kind})
    frame = Frame("", bytes(32), config, LinearTs.create(LinearTs.config_type()), "warm-up@0")
    request = DecisionRequest([Action("a", {"x": 1.0}), Action("b", {"x": 2.0})], top_n=2)
    frame.policy.learn(Situation({}, request.eligible()), arm=0, reward=1.0, propensity=0.5)
    decide(frame, request, b"", decision_id="warm-up", at=0)
    warm_up_guards()
    leaders(np.zeros((1, 2)), 1)


def listen(host: str, port: int) -> socket.socket:
    """Take the address. Raises `StoreUnusable` when it is taken, or not ours to take."""
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise StoreUnusable(f"{host}:{port} cannot be listened on ({error}): choose another with --port") from error


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve the application until a signal stops it; the caller's cleanup runs after SIGTERM too."""
    # uvicorn shuts down in order and then raises the signal again, which would end the process at once.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # The writer thread and the event loop hand the interpreter to each other thousands of times a second.
    sys.setswitchinterval(0.0002)
    # What is loaded by now stays: the collector need not look at it again and again, nor stop a request for it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    # One thread: small matrices gain nothing from more, and results must not depend on how many there are.
    with threadpool_limits(limits=1):
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=10)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
