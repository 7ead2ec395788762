"""The service as a process: over real sockets, under concurrency, and always stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from bb_core.errors import BBError
from bb_domains.api_json.credentials import new_credentials
from bb_domains.api_json.server import RunningService, running_service

CREDENTIALS = new_credentials()
WAIT_S = 20.0


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningService]]:
    """Two processes that serve one database file."""
    db_path = tmp_path_factory.mktemp("service") / "service.db"
    with (
        running_service(db_path, seed=3, credentials=CREDENTIALS) as one,
        running_service(db_path, seed=3, credentials=CREDENTIALS) as two,
    ):
        yield [one, two]


@pytest.fixture
def sessions(services: list[RunningService]) -> Iterator[list[httpx.Client]]:
    """Four clients of each process, all in one session."""
    body = {"username": CREDENTIALS.username, "password": CREDENTIALS.password}
    answer = httpx.post(f"{services[0].base_url}/login", json=body, trust_env=False)
    headers = {"Authorization": f"Bearer {answer.json()['token']}"}
    clients = [
        httpx.Client(base_url=service.base_url, headers=headers, trust_env=False, timeout=WAIT_S)
        for service in services
        for _ in range(4)
    ]
    yield clients
    for client in clients:
        client.close()


def placed_orders(client: httpx.Client, n: int, after: int) -> list[dict[str, object]]:
    rows = client.get("/audit/orders", params={"limit": 10_000, "after": after}).json()
    return [row for row in rows if row["status"] == "placed"][:n]


def confirmed(client: httpx.Client, order: dict[str, object]) -> str:
    order_id = client.get(f"/orders/{order['number']}").json()["id"]
    owner = {"email": order["owner_email"]}
    assert client.post(f"/orders/{order_id}/owner", json=owner).status_code == 200
    return str(order_id)


def test_the_rules_hold_between_processes_and_concurrent_requests(
    sessions: list[httpx.Client],
) -> None:
    for order in placed_orders(sessions[0], 6, after=1000):
        order_id = confirmed(sessions[0], order)

        def act(i: int, order_id: str = order_id) -> int:
            if i % 2:
                return sessions[i].post(f"/orders/{order_id}/cancellation").status_code
            body = {"amount": 1, "reason": "late"}
            return sessions[i].post(f"/orders/{order_id}/refund", json=body).status_code

        with ThreadPoolExecutor(len(sessions)) as pool:
            statuses = Counter(pool.map(act, range(len(sessions))))
        assert statuses == {200: 1, 409: len(sessions) - 1}
        state = sessions[0].get("/audit/state", params={"number": [order["number"]]}).json()
        after = state["orders"][str(order["number"])]
        assert (after["refunded"] is None) == (after["status"] == "cancelled")


def test_one_key_has_one_effect_between_processes(sessions: list[httpx.Client]) -> None:
    order = placed_orders(sessions[0], 1, after=5000)[0]
    query = {"email": order["owner_email"]}
    customer = sessions[0].get("/customers", params=query).json()["id"]
    headers = {"Idempotency-Key": "one-voucher"}

    def give(client: httpx.Client) -> httpx.Response:
        return client.post(f"/customers/{customer}/vouchers", json={"amount": 9}, headers=headers)

    with ThreadPoolExecutor(len(sessions)) as pool:
        answers = list(pool.map(give, sessions))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    state = sessions[0].get("/audit/state", params={"customer": [customer]}).json()
    assert state["customers"][customer]["vouchers"] == [9]


def test_the_service_listens_on_loopback_only_and_stops(tmp_path: Path) -> None:
    with running_service(tmp_path / "a.db", seed=0, credentials=CREDENTIALS) as service:
        process = psutil.Process(service.pid)
        listening = [c.laddr.ip for c in process.net_connections() if c.status == "LISTEN"]
        assert listening == ["127.0.0.1"]
        assert process.pid != os.getpid()
        assert httpx.get(f"{service.base_url}/health", trust_env=False).json()["status"] == "ok"
    assert not process.is_running()


def test_the_service_stops_when_the_block_fails(tmp_path: Path) -> None:
    started = []
    with (
        pytest.raises(RuntimeError, match="boom"),
        running_service(tmp_path / "a.db", seed=0, credentials=CREDENTIALS) as service,
    ):
        started.append(psutil.Process(service.pid))
        raise RuntimeError("boom")
    assert not started[0].is_running()


def test_the_service_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\n"
        "from bb_domains.api_json.credentials import new_credentials\n"
        "from bb_domains.api_json.server import running_service\n"
        "with running_service(pathlib.Path(sys.argv[1]), seed=0,\n"
        "                     credentials=new_credentials()) as service:\n"
        "    print(service.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "a.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        child.wait(WAIT_S)  # raises if it is still there


def test_a_taken_port_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        service = running_service(tmp_path / "a.db", seed=0, credentials=CREDENTIALS, port=port)
        with pytest.raises(BBError, match=r"did not start.*--port 0"), service:
            pass
    assert f"cannot listen on 127.0.0.1:{port}" in capfd.readouterr().err


def test_a_file_that_is_no_database_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.db").write_text("this is a text " * 1000)
    service = running_service(tmp_path / "notes.db", seed=0, credentials=CREDENTIALS)
    with pytest.raises(BBError, match="did not start"), service:
        pass
    said = capfd.readouterr().err
    assert "notes.db" in said and "not a database" in said and "Traceback" not in said
