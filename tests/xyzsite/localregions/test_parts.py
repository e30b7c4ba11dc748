"""Ports, the state file, processes, and the connection that the supervisor watches servers by."""

import asyncio
import os
import signal
import socket
import subprocess
import sys

import hiredis
import pytest

from xyzsite.localregions import control, ports, processes, state
from xyzsite.localregions.exceptions import NotRunning, UnknownName
from xyzsite.localregions.plan import Options
from xyzsite.localregions.proxy import Endpoint, Pipe, Target
from xyzsite.localregions.resp import RedisLink


def test_known_ports_are_kept_and_taken_ones_are_not():
    first = ports.choose(["one", "two"], {})
    assert ports.choose(["one", "two", "three"], first).items() >= first.items()
    with socket.create_server(("127.0.0.1", first["one"])):
        again = ports.choose(["one", "two"], first)
    assert again["one"] != first["one"]
    assert again["two"] == first["two"]
    assert len(set(again.values())) == 2


def test_ports_begin_where_they_are_told():
    base = ports.choose(["any"], {})["any"]
    with socket.create_server(("127.0.0.1", base)):
        assert min(ports.choose(["one", "two"], {"one": 20_000}, base).values()) > base


def test_the_state_file_gives_back_what_was_written(tmp_path):
    stored = state.State(
        options=Options(password="secret", tls=True),
        ports={"us-west-2-a": 12_000},
        data_root="/somewhere",
        control="/somewhere/control.sock",
        supervisor=state.Process.of(os.getpid()),
        servers={"us-west-2-a": state.Process(1, "then")},
    )
    state.write(tmp_path, stored)
    assert state.read(tmp_path) == stored
    assert state.path(tmp_path).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"options": {"colour": "red"}}'])
def test_a_state_file_that_cannot_be_read_is_none(tmp_path, content):
    if content is not None:
        state.path(tmp_path).write_text(content)
    assert state.read(tmp_path) == state.State()


def test_a_process_is_known_by_its_number_and_its_start():
    child = subprocess.Popen(["sleep", "60"])
    process = state.Process.of(child.pid)
    assert process.alive
    assert not state.Process(child.pid, "another time").alive
    processes.end(process.pid, process.started)
    assert child.wait(5) == -signal.SIGKILL
    assert not process.alive


def test_descendants_are_found():
    shell = subprocess.Popen(["sh", "-c", "sh -c 'sleep 60; true'; true"], stdout=subprocess.PIPE)
    while len(processes.descendants(shell.pid)) < 2:
        assert shell.poll() is None
    found = processes.descendants(shell.pid)
    processes.signal_tree(shell.pid, signal.SIGKILL)
    shell.communicate()
    while any(processes.started_at(pid) for pid in found):  # they end a moment after the signal
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_spawned_server_does_not_outlive_us(tmp_path):
    code = (
        "import os, pathlib, sys, time\n"
        "from xyzsite.localregions import processes\n"
        "child = processes.spawn(['sleep', '60'], pathlib.Path(sys.argv[1]))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    assert processes.started_at(pid)
    parent.kill()
    parent.communicate()
    while processes.started_at(pid):
        pass


def test_nobody_at_the_control_socket(tmp_path):
    with pytest.raises(NotRunning, match="regions up"):
        control.ask(str(tmp_path / "control.sock"), "status")


def test_errors_come_through_the_control_socket(tmp_path):
    path = tmp_path / "control.sock"

    async def handle(command, arguments):
        if command == "echo":
            return arguments
        raise UnknownName(f"no {command}")

    async def talk():
        async with await control.serve(path, handle):
            assert await asyncio.to_thread(control.ask, str(path), "echo", "a", 1) == ["a", 1]
            with pytest.raises(UnknownName, match="no mars"):
                await asyncio.to_thread(control.ask, str(path), "mars")

    run(talk)


def run(talk):
    """Run a coroutine function, then what it left: connections that are being closed."""

    async def whole():
        await talk()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(whole())


async def answering(replies):
    """Serve each connection: what `replies` says to each chunk of bytes."""

    async def serve(reader, writer):
        while data := await reader.read(4096):
            writer.write(replies(data))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def test_a_link_answers_in_order_and_reports_errors_and_its_end():
    async def talk():
        server, port = await answering(lambda _: b"+one\r\n-ERR two\r\n")
        link = await RedisLink.connect(port, "", None)
        first, second = link.call("ONE"), link.call("TWO")
        assert await first == "one"
        with pytest.raises(hiredis.ReplyError, match="two"):
            await second
        link.close()
        await link.lost
        assert not link.open
        with pytest.raises(ConnectionError):
            await link.call("THREE")
        server.close()

    run(talk)


def test_an_endpoint_moves_and_cuts_what_was_connected():
    async def talk():
        first, first_port = await answering(lambda _: b"first")
        second, second_port = await answering(lambda _: b"second")
        target = Target(first_port)
        endpoint = Endpoint(target)
        port = ports.choose(["endpoint"], {})["endpoint"]
        await endpoint.start(port)
        assert await ask(port) == b"first"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"?")
        assert await reader.read(64) == b"first"
        target.move(second_port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        assert await ask(port) == b"second"
        target.move(None)
        waiting = asyncio.create_task(ask(port))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        target.move(first_port)
        assert await waiting == b"first"
        for each in (endpoint, first, second):
            each.close()

    run(talk)


async def ask(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"?")
    answer = await reader.read(64)
    writer.close()
    return answer


def test_much_passes_an_endpoint_whole_though_the_reader_is_slow():
    async def talk():
        server, server_port = await answering(lambda data: data)
        endpoint = Endpoint(Target(server_port))
        port = ports.choose(["endpoint"], {})["endpoint"]
        await endpoint.start(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = os.urandom(8_000_000)
        writer.write(sent)
        await asyncio.sleep(0.1)
        assert await reader.readexactly(len(sent)) == sent
        writer.close()
        endpoint.close()
        server.close()

    run(talk)


def test_bytes_sent_before_the_server_closes_arrive():
    async def talk():
        async def serve(reader, writer):
            await reader.read(64)
            writer.write(b"x" * 500_000)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        endpoint = Endpoint(Target(server.sockets[0].getsockname()[1]))
        port = ports.choose(["endpoint"], {})["endpoint"]
        await endpoint.start(port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"?")
        assert len(await reader.read(-1)) == 500_000
        writer.close()
        endpoint.close()
        server.close()

    run(talk)


def test_clients_that_speak_at_once_are_answered():
    def speak(port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"?")
            return client.recv(64)

    async def talk():
        server, server_port = await answering(lambda data: data)
        endpoint = Endpoint(Target(server_port))
        port = ports.choose(["endpoint"], {})["endpoint"]
        await endpoint.start(port)
        for _ in range(100):  # their bytes come while asyncio is still taking the connection in
            assert await asyncio.to_thread(speak, port) == b"?"
        endpoint.close()
        server.close()

    run(talk)


def test_bytes_that_come_before_the_server_is_there_are_kept():
    async def talk():
        server, server_port = await answering(lambda data: data)
        target = Target()
        endpoint = Endpoint(target)
        ours, theirs = socket.socketpair()
        pipe = Pipe(endpoint)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: pipe.client, theirs)
        reader, writer = await asyncio.open_connection(sock=ours)
        pipe.client.data_received(b"one ")  # asyncio may not heed a pause yet
        writer.write(b"two")
        target.move(server_port)
        async with asyncio.timeout(10):
            assert await reader.readexactly(7) == b"one two"
        writer.close()
        endpoint.close()
        server.close()

    run(talk)
