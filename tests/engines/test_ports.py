"""Ports: free ones, and who sits on a taken one. (Foreign servers: tests/services/test_llama_server.py.)"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from genai_desktop.engines.ports import PortOwner, free_port, is_free, port_in_use, port_owner
from tests.aio import run


def test_a_free_port_is_free() -> None:
    ports = {free_port() for _ in range(5)}
    assert all(1024 <= port < 65536 and is_free(port) for port in ports)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_listener_makes_it_taken(address: str) -> None:
    with socket.socket() as listener:
        listener.bind((address, 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_a_connection_in_time_wait_is_no_obstacle() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            accepted.close()  # the side that closes first waits
            client.recv(1)
    assert is_free(port)


def test_the_program_is_named() -> None:
    code = (
        "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen();"
        "print(s.getsockname()[1], flush=True); input()"
    )
    argv = [sys.executable, "-I", "-S", "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        owner = run(port_owner(port))
        assert (owner.kind, owner.pid) == ("other", process.pid)
        assert owner.program.startswith("python")
        assert run(port_owner(port, ours=[process.pid])).kind == "ours"
        error = run(port_in_use(port))
        assert (error.code, error.details["pid"]) == ("PORT_IN_USE", process.pid)
        assert str(port) in error.message
        assert error.remedy
        process.communicate("\n")


def test_a_listener_that_never_answers_costs_little() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert run(port_owner(listener.getsockname()[1]), timeout=10).kind == "other"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<!DOCTYPE",
        b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status":"up"}',
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x00\xff\x00",
        b"",
    ],
)
def test_other_servers_are_not_taken_for_a_llama_server(answer: bytes) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        owner = run(port_owner(listener.getsockname()[1]))
        thread.join()
    assert (owner.kind, owner.pid) == ("other", os.getpid())


def test_the_sentences() -> None:
    assert PortOwner("ours", pid=7).describe() == "a server this program started (process 7)"
    assert PortOwner("llama-server", model="qwen").describe() == "another llama-server serving qwen"
    assert PortOwner("other", program="nginx", pid=1).describe() == "the program nginx (process 1)"
    assert PortOwner("other").describe() == "another program"
