"""A robot behind a rosbridge server: both transports, feedback, cancellation, hostile peers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import pytest

from bb_core.errors import BBError
from bb_domains import robots
from bb_domains.robots.bridge_server import BridgeServer, serving
from bb_domains.robots.rosbridge import Interface, RosbridgeAdapters, load_interfaces
from bb_domains.robots.simulated import RobotSimulator
from bb_domains.robots.transports import JsonStream, object_end, open_transport
from bb_domains.robots.websocket import ConnectionLost, WebSocket, accept, accept_key, connect
from bb_domains.robots.world import make_world
from bb_domains.schema import Service
from bb_domains.simulation import try_plan
from bb_domains.tools import ToolFailed

SERVICE = Service(base_url="http://127.0.0.1", hosts=("127.0.0.1",))
SCHEMA = robots.plan_schema()
TIMEOUTS_S = {name: tool.timeout_s for name, tool in SCHEMA.tools.items()}


def new_robot() -> RobotSimulator:
    return RobotSimulator(make_world(0, "rooms", "standard"))


@contextmanager
def bridged(
    scheme: str = "ws", robot: RobotSimulator | None = None, **options: Any
) -> Iterator[RosbridgeAdapters]:
    server = BridgeServer(robot or new_robot(), SCHEMA, **options)
    with serving(server) as port:
        transport = open_transport(f"{scheme}://127.0.0.1:{port}", SERVICE)
        with closing(RosbridgeAdapters(transport, load_interfaces(), TIMEOUTS_S)) as adapters:
            yield adapters


class Scripted:
    """A peer that answers as written, for what no good server says."""

    def __init__(self, *answers: Callable[[dict[str, Any]], dict[str, Any]] | None) -> None:
        self.answers, self.sent = list(answers), list[dict[str, Any]]()

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))

    def receive(self, timeout_s: float) -> str | None:
        answer = self.answers.pop(0) if self.answers else None
        return None if answer is None else json.dumps(answer(self.sent[-1]))

    def close(self) -> None:
        pass


def adapters_for(*answers: Callable[[dict[str, Any]], dict[str, Any]] | None) -> RosbridgeAdapters:
    return RosbridgeAdapters(Scripted(*answers), load_interfaces(), TIMEOUTS_S)


def result(**fields: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda sent: {"op": "action_result", "id": sent["id"], "action": "/x", **fields}


@pytest.mark.parametrize("scheme", ["ws", "tcp"])
@pytest.mark.parametrize("fragment_bytes", [0, 40])
def test_a_plan_does_the_same_over_the_bridge(scheme: str, fragment_bytes: int) -> None:
    (request,) = robots.requests("train", 1, 8)
    direct, behind = robots.simulator(request), robots.simulator(request)
    try_plan(direct, request.plan)
    with bridged(scheme, behind, fragment_bytes=fragment_bytes) as adapters:
        results: dict[str, dict[str, Any]] = {}
        for step in request.plan.steps:
            args = {
                name: results[value[1]]["id"] if str(value).startswith("$") else value
                for name, value in step.args.items()
            }
            results[step.id] = adapters.call(step.tool, args)
    assert behind.state() == direct.state()


def test_actions_report_progress_and_services_do_not() -> None:
    heard: list[tuple[str, Mapping[str, Any]]] = []
    with bridged() as adapters:
        adapters.on_feedback = lambda tool, values: heard.append((tool, values))
        adapters.call("undock", {})
        adapters.call("look", {"at": "stop-1"})
    assert heard == [("undock", {"progress": 0.0}), ("undock", {"progress": 1.0})]


def test_a_late_action_is_cancelled_and_nothing_happens() -> None:
    robot = new_robot()
    with bridged(robot=robot, action_s=60.0) as adapters:
        adapters.timeouts_s = {"undock": 1.0}
        with pytest.raises(ToolFailed, match="cancelled after 0.5 s") as failed:
            adapters.call("undock", {})
        assert failed.value.status == 408
    assert robot.state()["robot"]["docked"]


def test_nobody_answers_the_cancellation() -> None:
    adapters = adapters_for(None, None)
    with pytest.raises(ToolFailed, match="nor an answer to the cancellation") as failed:
        adapters.call("dock", {"at": "stop-1"})
    assert failed.value.status == 0  # in doubt
    transport = adapters.transport
    assert isinstance(transport, Scripted)
    assert [sent["op"] for sent in transport.sent] == ["send_action_goal", "cancel_action_goal"]
    assert transport.sent[0]["id"] == transport.sent[1]["id"]


def test_a_success_that_crosses_the_cancellation_counts() -> None:
    adapters = adapters_for(None, result(values={"charge": 3}, status=4, result=True))
    assert adapters.call("dock", {"at": "stop-1"}) == {"charge": 3}


def test_refusals_keep_their_status_and_reason() -> None:
    with bridged() as adapters:
        adapters.call("undock", {})
        with pytest.raises(ToolFailed, match="there is no item 1") as failed:
            adapters.call("find_item", {"tag": next(_free_tags())})
        assert failed.value.status == 404
        with pytest.raises(ToolFailed, match="not docked") as failed:
            adapters.call("undock", {})
        assert failed.value.status == 409


def _free_tags() -> Iterator[int]:
    taken = new_robot().world.items
    return (tag for tag in range(1000, 10_000) if tag not in taken)


@pytest.mark.parametrize(
    "args", [{"seconds": 5}, {"at": 3, "seconds": 5}, {"at": "stop-1", "seconds": "x"}, []]
)
def test_the_server_refuses_wrong_arguments(args: Any) -> None:
    with bridged() as adapters:
        adapters.call("undock", {})
        with pytest.raises(ToolFailed) as failed:
            adapters.call("wait", args)
        assert failed.value.status == 422


def test_unknown_interfaces_are_said_at_once() -> None:
    with bridged() as adapters:
        strange = {"dance": Interface(action="/dance", type="x/action/Dance")}
        odd = RosbridgeAdapters(adapters.transport, strange, {"dance": 5.0})
        with pytest.raises(ToolFailed, match="there is no action /dance"):
            odd.call("dance", {})
        with pytest.raises(BBError, match="tool sing: has no ROS interface; add it to"):
            odd.call("sing", {})


def test_the_same_id_acts_once() -> None:
    robot = new_robot()
    with bridged(robot=robot) as adapters:
        adapters.call("undock", {})
        first = adapters.call("wait", {"at": "stop-1", "seconds": 5}, "key")
        for _ in range(20):  # at once after the answer, when the first is still being put away
            assert adapters.call("wait", {"at": "stop-1", "seconds": 5}, "key") == first
    assert robot.state()["seconds"] == 5.0


def test_every_tool_has_an_interface() -> None:
    assert set(load_interfaces()) == set(SCHEMA.tools)
    for name, interface in load_interfaces().items():
        moves = SCHEMA.tools[name].effect == "write" and name not in ("plan_route", "look")
        assert bool(interface.action) == moves, name


@pytest.mark.parametrize(
    ("answer", "message", "status"),
    [
        (result(values={}, status=6, result=False), "refused", 409),
        (result(values="no path", status=6, result=False), "no path", 409),
        (result(values={"code": 0, "reason": "x"}, status=6, result=False), "x", 409),
        (result(values={}, status=5, result=False), "cancelled", 408),
        (result(values=[], status=4, result=True), "the answer is no object", 0),
        (result(values={"status": 6, "result": {"reason": "old"}}, result=False), "old", 409),
        (lambda sent: {"op": "fragment", "id": "f", "num": 3, "total": 2, "data": "x"}, "range", 0),
        (lambda sent: {"op": "fragment", "id": "f", "num": "a", "data": "x"}, "broken", 0),
    ],
)
def test_odd_answers(answer: Any, message: str, status: int) -> None:
    with pytest.raises(ToolFailed, match=message) as failed:
        adapters_for(answer).call("dock", {"at": "stop-1"})
    assert failed.value.status == status


def test_results_of_older_servers_and_of_earlier_calls() -> None:
    stale = {"op": "action_result", "id": "old", "values": {"charge": 1}, "status": 4}
    answer = result(values={"status": 4, "result": {"charge": 2}}, result=True)
    assert adapters_for(lambda _: stale, answer).call("dock", {"at": "s"}) == {"charge": 2}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ws://robot.example:9090", "robot.example:9090 is not a declared host"),
        ("ws://127.0.0.1@robot.example/", "is no address of a robot"),
        ("http://127.0.0.1:9090", "is no address of a robot"),
        ("ws://", "is no address of a robot"),
    ],
)
def test_only_declared_hosts_are_reached(url: str, message: str) -> None:
    with pytest.raises(BBError, match=message):
        open_transport(url, SERVICE)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(BBError, match="cannot be reached"):
        open_transport(f"tcp://127.0.0.1:{port}", SERVICE)


def test_the_adapters_of_the_domain() -> None:
    with robots.open_adapters(SCHEMA, {}) as adapters:
        assert adapters.call("undock", {})["kind"] == "charger"
    with pytest.raises(BBError, match="BB_ROBOTS_SEED: 'x' is no seed"):
        robots.open_adapters(SCHEMA, {"BB_ROBOTS_SEED": "x"}).__enter__()
    with serving(BridgeServer(new_robot(), SCHEMA)) as port:
        where = {"BB_ROBOTS_URL": f"ws://127.0.0.1:{port}/"}
        with robots.open_adapters(SCHEMA, where) as adapters:
            assert isinstance(adapters, RosbridgeAdapters)
            assert adapters.call("undock", {})["id"] == "stop-1"


@contextmanager
def pair(*, timeout_s: float = 2.0) -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair()
    with one, two:
        yield one, two


@contextmanager
def handshaken() -> Iterator[tuple[WebSocket, WebSocket]]:
    with pair() as (one, two):
        made: list[WebSocket] = []
        server = threading.Thread(target=lambda: made.append(accept(two, 2.0, peer="client")))
        server.start()
        client = connect(one, "h", "/", 2.0, peer="server")
        server.join()
        yield client, made[0]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 300_000])
def test_websocket_messages_of_every_size_of_length(size: int) -> None:
    text = "ä" * (size // 2) + "x" * (size % 2)
    with handshaken() as (client, server):
        for sender, receiver in ((client, server), (server, client)):
            worker = threading.Thread(target=sender.send, args=(text,))
            worker.start()
            assert receiver.receive(5.0) == text
            worker.join()


def test_accept_key_of_the_rfc() -> None:
    assert accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_websocket_pings_fragments_and_slow_bytes() -> None:
    with handshaken() as (client, server):
        raw = bytes([0x01, 3]) + b"hel" + bytes([0x89, 2]) + b"hi" + bytes([0x80, 2]) + b"lo"
        for octet in raw[:-1]:
            server.connection.sendall(bytes([octet]))
        assert client.receive(0.02) is None  # not whole yet, and nothing of it is lost
        server.connection.sendall(raw[-1:])
        assert client.receive(2.0) == "hello"
        pong = server.connection.recv(100)
        assert pong[0] == 0x8A
        mask = pong[2:6]
        assert bytes(o ^ mask[i % 4] for i, o in enumerate(pong[6:])) == b"hi"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (bytes([0x88, 0]), "closed the connection"),
        (bytes([0x82, 1, 0]), "opcode 0x2"),
        (bytes([0xC1, 0]), "wrong bits"),
        (bytes([0x81, 0x80, 0, 0, 0, 0]), "wrong bits"),  # a server must not mask
        (bytes([0x09, 0]), "control frame"),
        (bytes([0x80, 1]) + b"x", "out of order"),
        (bytes([0x81, 126, 0, 5]), "frame of 5 bytes"),
        (bytes([0x81, 127]) + (1 << 40).to_bytes(8, "big"), "frame of 1099511627776 bytes"),
        (bytes([0x81, 1, 0xFF]), "not UTF-8"),
    ],
)
def test_websocket_peers_that_break_the_protocol(raw: bytes, message: str) -> None:
    with handshaken() as (client, server):
        server.connection.sendall(raw)
        with pytest.raises(ConnectionLost, match=message):
            client.receive(2.0)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        b"garbage\r\n\r\n",
    ],
)
def test_servers_without_a_proper_handshake(answer: bytes) -> None:
    with pair() as (one, two):
        two.sendall(answer)
        with pytest.raises(ConnectionLost, match="to the WebSocket handshake"):
            connect(one, "h", "/", 2.0, peer="server")


def test_clients_without_a_proper_handshake() -> None:
    with pair() as (one, two):
        one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionLost, match="sent no WebSocket handshake"):
            accept(two, 2.0, peer="client")
        assert one.recv(100).startswith(b"HTTP/1.1 400")


def test_the_server_outlives_clients_that_send_rubbish() -> None:
    with serving(BridgeServer(new_robot(), SCHEMA)) as port:
        for rubbish in (b"GET / HTTP/1.1\r\n\r\n", b"[1]", b'{"op":3}', b"{}" * 9, b"\xff\xfe"):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(rubbish)
                client.settimeout(5.0)
                while client.recv(100):  # until the server hangs up
                    pass
        transport = open_transport(f"tcp://127.0.0.1:{port}", SERVICE)
        with closing(RosbridgeAdapters(transport, load_interfaces(), TIMEOUTS_S)) as adapters:
            assert adapters.call("undock", {})["id"] == "stop-1"


@pytest.mark.parametrize(
    ("text", "end"),
    [('{"a":"}\\""}{', 11), ("{}", 2), ('{"a":{', 0), ("", 0), ('{"a":"{"', 0)],
)
def test_where_an_object_ends(text: str, end: int) -> None:
    assert object_end(text.encode()) == end


def test_a_connection_that_breaks_is_in_doubt() -> None:
    with pair() as (one, two):
        adapters = RosbridgeAdapters(JsonStream(one, "robot"), load_interfaces(), TIMEOUTS_S)
        two.close()
        with pytest.raises(ToolFailed, match="robot: (closed the connection|is gone)") as failed:
            adapters.call("stow_arm", {})
        assert failed.value.status == 0
