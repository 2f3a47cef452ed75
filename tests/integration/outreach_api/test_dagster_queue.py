"""Asking a webserver that says no, says nothing, or is not there. A real one: tests/end_to_end."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from outreach_api.dagster_queue import MOST_AT_ONCE, DagsterQueue, NotPushedError

asked: list[Any] = []


@contextmanager
def webserver(answer: bytes) -> Iterator[str]:
    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_run_that_was_launched_is_pushed() -> None:
    with webserver(b'{"data": {"launchRun": {"__typename": "LaunchRunSuccess"}}}') as url:
        DagsterQueue(url).push("t1")
    said = asked[-1]["variables"]["asked"]
    assert said["runConfigData"] == {"ops": {"task_outputs": {"config": {"task_id": "t1"}}}}
    assert said["executionMetadata"]["tags"] == [{"key": "outreach/task", "value": "t1"}]


@pytest.mark.parametrize(
    "answer",
    [
        b'{"data": {"launchRun": {"__typename": "PipelineNotFoundError"}}}',
        b'{"errors": [{"message": "no"}]}',
        b'{"data": null}',
        b"[]",
        b"<html>please log in</html>",
    ],
)
def test_any_other_answer_is_not_pushed(answer: bytes) -> None:
    with webserver(answer) as url, pytest.raises(NotPushedError):
        DagsterQueue(url).push("t1")


def test_a_webserver_that_is_silent_or_not_there_is_not_pushed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(NotPushedError, match="OUTREACH_UI_URL"):
            DagsterQueue(url, timeout_seconds=0.2).push("t1")
    with pytest.raises(NotPushedError, match="OUTREACH_UI_URL"):
        DagsterQueue(url).push("t1")


def test_a_webserver_that_hangs_holds_only_so_many() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=99) as silent:
        queue = DagsterQueue(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=60)
        with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
            waiting = [pool.submit(queue.push, f"t{n}") for n in range(MOST_AT_ONCE)]
            asked = [silent.accept()[0] for _ in waiting]
            with pytest.raises(NotPushedError, match="others wait"):
                queue.push("one more")
            for connection in asked:
                connection.close()
        assert {type(one.exception()) for one in waiting} == {NotPushedError}
