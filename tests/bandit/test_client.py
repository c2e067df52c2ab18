"""The client against a small real HTTP server that answers from a script."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise

import pytest

from bandit.client import ApiError, Client, NotLearned, Retries, Unreachable


@dataclass(frozen=True)
class Answer:
    """One scripted answer; `hang_up` closes the connection without any."""

    status: int = 200
    body: object = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False


@dataclass
class Script:
    """What the server will say, what it was asked, and how long the client slept."""

    answers: list[Answer]
    asked: list[tuple[str, str, dict]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def bodies(self) -> list[dict]:
        """Return what was sent, in order."""
        return [body for _, _, body in self.asked]


def _handler(script: Script) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self):
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append((self.command, self.path, json.loads(raw) if raw else {}))
            answer = script.answers.pop(0)
            if answer.hang_up:
                self.close_connection = True
                return
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(text))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = do_POST = _serve  # noqa: N815 - the names http.server looks for

        def log_message(self, *args):
            pass

    return Handler


@contextmanager
def talking(*answers: Answer, **options) -> Iterator[tuple[Script, Client]]:
    """Serve the answers in order on a free port, to a client with these options."""
    script = Script(list(answers))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    server.daemon_threads = True
    url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with Client(url, trust_env=False, sleep=script.slept.append, **options) as client:
            yield script, client
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


BUSY = Answer(503, {"title": "Not stored", "detail": "the disk is full"})
CHOICE = {"context": {"x": 1.0}, "actions": [{"id": "a", "features": {}}]}


@pytest.mark.parametrize("failure", [BUSY, Answer(hang_up=True)], ids=["503", "hung up"])
def test_decision_is_retried_with_the_same_id(failure):
    """A decision that may not have been stored is sent again as the same decision."""
    with talking(failure, failure, Answer(201, {"decision_id": "d"})) as (script, client):
        assert client.decide("shop", **CHOICE) == {"decision_id": "d"}
    first, *again = script.bodies()
    assert len(first["decision_id"]) == 32
    assert again == [first, first]


@pytest.mark.parametrize("failure", [BUSY, Answer(hang_up=True)], ids=["503", "hung up"])
def test_reward_is_retried_with_the_same_id(failure):
    """A reward whose answer was lost is sent again under the same reward_id: it counts once."""
    with talking(failure, Answer(202, {"status": "accepted"})) as (script, client):
        client.reward("shop", decision_id="d", value=1.0)
    first, again = script.bodies()
    assert len(first["reward_id"]) == 32
    assert again == first


def test_each_call_makes_its_own_ids():
    """Two rewards without reward_id are two rewards."""
    with talking(Answer(202), Answer(202)) as (script, client):
        client.reward("shop", decision_id="d", value=1.0)
        client.reward("shop", decision_id="d", value=1.0)
    first, second = script.bodies()
    assert first["reward_id"] != second["reward_id"]


def test_own_ids_are_kept():
    """An id that the caller gives is the id that is sent."""
    with talking(Answer(201), Answer(202)) as (script, client):
        client.decide("shop", decision_id="mine", **CHOICE)
        client.reward("shop", decision_id="mine", value=1.0, reward_id="r1", slot=0)
    decided, rewarded = script.bodies()
    assert decided["decision_id"] == "mine"
    assert rewarded == {"decision_id": "mine", "value": 1.0, "reward_id": "r1", "slot": 0}


def test_waits_double_between_retries():
    """Without a word from the server the waits double: 0.1, 0.2, 0.4 s."""
    with talking(BUSY, BUSY, BUSY, Answer()) as (script, client):
        client.status("shop")
    assert script.slept == [0.1, 0.2, 0.4]
    assert all(later == 2 * earlier for earlier, later in pairwise(script.slept))


@pytest.mark.parametrize(("word", "wait"), [("2", 2.0), ("3600", 5.0), ("-1", 0.0), ("soon", 0.1)])
def test_retry_after_is_honoured_within_bounds(word, wait):
    """Retry-After sets the wait, up to longest_wait_s; nonsense falls back to the own wait."""
    busy = Answer(503, {}, {"Retry-After": word})
    with talking(busy, Answer()) as (script, client):
        client.status("shop")
    assert script.slept == [wait]


def test_retry_after_may_be_a_date():
    """Retry-After as an HTTP date is a wait until then."""
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    assert 1.0 < Retries().wait_s(1, at) <= 3.0


def test_retries_end():
    """After the last attempt the server's own explanation is the error."""
    with (
        talking(BUSY, BUSY, retries=Retries(attempts=2)) as (script, client),
        pytest.raises(ApiError, match="the disk is full") as refused,
    ):
        client.decide("shop", **CHOICE)
    assert refused.value.status == 503
    assert len(script.asked) == 2


def test_problem_becomes_an_error_that_says_the_detail():
    """problem+json is raised as ApiError; a refusal is not retried."""
    problem = {"title": "A rule is broken", "detail": "top_n is 0; give 1 or more", "value": 0}
    headers = {"Content-Type": "application/problem+json"}
    with (
        talking(Answer(422, problem, headers)) as (script, client),
        pytest.raises(ApiError) as refused,
    ):
        client.decide("shop", top_n=0, **CHOICE)
    error = refused.value
    assert str(error) == "top_n is 0; give 1 or more (HTTP 422 A rule is broken)"
    assert (error.status, error.title, error.problem) == (422, "A rule is broken", problem)
    assert script.slept == []


def test_answer_of_another_server_is_an_error():
    """A page that is no JSON says that the base URL is wrong."""
    with (
        talking(Answer(200, "<html>hello</html>")) as (_, client),
        pytest.raises(ApiError, match="Check the base URL"),
    ):
        client.loops()


def test_nobody_there_is_a_clear_error():
    """A refused connection names the request, the attempts and what to look at."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        client = Client(url, retries=Retries(attempts=2, first_wait_s=0.0), trust_env=False)
        with client, pytest.raises(Unreachable, match=r"after 2 attempt.*Is the server"):
            client.loop("shop")


def test_ready_asks_once():
    """ready() is True at 200, False at 503 or when nobody answers, and never retries."""
    with talking(Answer(200, "ok"), BUSY, Answer(hang_up=True)) as (script, client):
        assert [client.ready() for _ in range(3)] == [True, False, False]
    assert script.slept == []


def test_names_are_quoted():
    """A name with a slash stays one path segment."""
    with talking(Answer(), Answer()) as (script, client):
        client.loop("a/b c")
        client.decision("shop", "d/1", verify=True)
    paths = [path for _, path, _ in script.asked]
    assert paths == ["/v1/loops/a%2Fb%20c", "/v1/loops/shop/decisions/d%2F1?verify=true"]


def test_activate_sends_no_body_and_expects_none():
    """activate() POSTs to the decision's path and is content with 204."""
    with talking(Answer(204, "")) as (script, client):
        assert client.activate("shop", "d/1") is None
    [(method, path, body)] = script.asked
    assert (method, path, body) == ("POST", "/v1/loops/shop/decisions/d%2F1/activate", {})


def test_put_loop_sends_the_config():
    """put_loop PUTs the config as it stands."""
    with talking(Answer(201, {"policy": {"kind": "linear_ts"}})) as (script, client):
        client.put_loop("shop", {"policy": {"kind": "linear_ts"}})
    assert script.asked == [("PUT", "/v1/loops/shop", {"policy": {"kind": "linear_ts"}})]


def test_changes_is_a_dry_run():
    """A PUT with dry_run, whose answer is returned."""
    with talking(Answer(200, {"changes": []})) as (script, client):
        assert client.changes("shop", {"policy": {"kind": "linear_ts"}}) == {"changes": []}
    assert script.asked == [("PUT", "/v1/loops/shop?dry_run=true", {"policy": {"kind": "linear_ts"}})]


def test_occurred_at_is_utc():
    """occurred_at is sent in UTC; a time without a zone is refused here."""
    at = datetime(2026, 8, 1, 12, tzinfo=UTC)
    with talking(Answer(202)) as (script, client):
        client.reward("shop", decision_id="d", value=0.5, occurred_at=at)
        with pytest.raises(ValueError, match="time zone"):
            client.reward("shop", decision_id="d", value=0.5, occurred_at=at.replace(tzinfo=None))
    assert script.bodies()[0]["occurred_at"] == "2026-08-01T12:00:00+00:00"


def test_wait_learned_waits_for_the_position_at_the_call():
    """Entries that arrive during the wait do not move the goal."""
    answers = [
        Answer(200, {"log_position": 9, "learned_through": 5}),
        Answer(200, {"log_position": 30, "learned_through": 7}),
        Answer(200, {"log_position": 30, "learned_through": 9}),
    ]
    with talking(*answers) as (script, client):
        assert client.wait_learned("shop", timeout_s=60)["learned_through"] == 9
    polls = [path.split("?")[1] for _, path, _ in script.asked[1:]]
    assert all(poll.startswith("learned_through=9&timeout_s=25") for poll in polls)


def test_wait_learned_waits_for_another_line():
    """While another line learns the log, what the old one had learned does not count."""
    anew = {"line": "l", "position": 4}
    answers = [
        Answer(200, {"log_position": 9, "learned_through": 9, "model_version": "k@9", "relearning": anew}),
        Answer(200, {"log_position": 9, "learned_through": 9, "relearning": None}),
    ]
    with talking(*answers) as (script, client):
        assert client.wait_learned("shop", timeout_s=60)["relearning"] is None
    assert len(script.asked) == 2
    clock = iter([0.0, 11.0])
    with (
        talking(answers[0], clock=lambda: next(clock)) as (_, client),
        pytest.raises(NotLearned, match="'shop', which learns anew as l, has learned through 4, not yet 9"),
    ):
        client.wait_learned("shop", timeout_s=10)


def test_wait_learned_gives_up():
    """A learner that stands still is an error after timeout_s."""
    behind = Answer(200, {"log_position": 9, "learned_through": 5})
    clock = iter([0.0, 1.0, 11.0])
    with (
        talking(behind, behind, clock=lambda: next(clock)) as (_, client),
        pytest.raises(NotLearned, match="through 5, not yet 9, after 10 s"),
    ):
        client.wait_learned("shop", timeout_s=10)


def test_wait_learned_hears_that_learning_stopped():
    """A learner that cannot go on is an error at once, with its own reason."""
    stuck = Answer(200, {"log_position": 9, "learned_through": 5, "learning_error": "bad outcome 6"})
    with talking(stuck) as (script, client), pytest.raises(NotLearned, match="stopped: bad outcome 6"):
        client.wait_learned("shop")
    assert len(script.asked) == 1
