"""The demonstration as a whole: the running service, its domain, and who drives and watches it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import typer

from bb_core.errors import BBError
from bb_core.progress import Progress
from bb_core.trace import Trace, save_traces
from bb_core.workspace import Workspace
from bb_domains.api_json import OVERLAY
from bb_domains.api_json.audit import HttpAuditor
from bb_domains.api_json.credentials import (
    PASSWORD_VARIABLE,
    USER_VARIABLE,
    Credentials,
    new_credentials,
)
from bb_domains.api_json.planner import SPLITS
from bb_domains.api_json.server import running_service, serve
from bb_domains.api_json.traces import TraceMaker
from bb_domains.http_adapters import HttpAdapters
from bb_domains.openapi import import_openapi
from bb_domains.schema import PlanSchema

DATABASE = "service.db"
CREDENTIALS_FILE = "credentials.env"


@dataclass(frozen=True)
class Demo:
    """A running service with everything that talks to it.

    Attributes:
        base_url: where the service answers.
        schema: the domain, imported from the service's own OpenAPI document and the overlay.
        adapters: carry tool calls out.
        auditor: reads the service's state.
    """

    base_url: str
    schema: PlanSchema
    adapters: HttpAdapters
    auditor: HttpAuditor


@contextmanager
def running_demo(
    db_path: Path, *, seed: int, port: int = 0, credentials: Credentials | None = None
) -> Iterator[Demo]:
    """Run the service in a child process, import its domain, and connect to it.

    Args:
        db_path: SQLite file of the service, created and filled if it is new.
        seed: makes the data of a new file.
        port: port on 127.0.0.1, 0 for a free one.
        credentials: what the service accepts; new ones if None.

    Raises:
        BBError: the service does not come up.
    """
    login = credentials or new_credentials()
    with (
        running_service(db_path, seed=seed, credentials=login, port=port) as service,
        httpx.Client(trust_env=False) as client,
    ):
        yield connect(service.base_url, login, client)


def connect(base_url: str, credentials: Credentials, client: httpx.Client) -> Demo:
    """Connect to a service that runs already.

    Args:
        base_url: where it answers, for example `http://127.0.0.1:8077`.
        credentials: for its login.
        client: an open HTTP client; the caller closes it.

    Raises:
        BBError: nothing answers there, or not the demonstration service.
    """
    schema = import_openapi(f"{base_url}/openapi.json", OVERLAY)
    secrets = {USER_VARIABLE: credentials.username, PASSWORD_VARIABLE: credentials.password}
    adapters = HttpAdapters(schema, client, secrets)
    return Demo(base_url, schema, adapters, HttpAuditor(base_url, client, credentials))


def make_splits(out: Path, *, n_train: int, n_eval: int, seed: int) -> dict[str, int]:
    """Record all splits against a fresh service and write one JSONL file for each.

    Args:
        out: folder of the files.
        n_train: traces in `train.jsonl`.
        n_eval: traces in each of the others.
        seed: makes the service's data and the requests.

    Returns:
        The number of traces by split.

    Raises:
        BBError: the service does not come up, or has too few orders for so many traces.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bb-demo-") as folder,
        running_demo(Path(folder) / DATABASE, seed=seed) as demo,
    ):
        return record_splits(demo, out, n_train=n_train, n_eval=n_eval, seed=seed)


def record_splits(demo: Demo, out: Path, *, n_train: int, n_eval: int, seed: int) -> dict[str, int]:
    """Record all splits against a running demo; see `make_splits`."""
    maker = TraceMaker(demo.adapters, demo.auditor, seed)
    sizes = {split: n_train if split == "train" else n_eval for split in SPLITS}
    with Progress(sum(sizes.values()), "traces") as progress:
        for split, n in sizes.items():
            save_traces(out / f"{split}.jsonl", _counted(maker.make(split, n), progress))
    return sizes


def _counted(traces: Iterable[Trace], progress: Progress) -> Iterator[Trace]:
    for trace in traces:
        yield trace
        progress.advance()


def serve_in_workspace(workspace: Workspace, *, port: int, seed: int) -> None:
    """Serve in the foreground, with the database and the credentials in the workspace.

    Raises:
        BBError: the port cannot be bound, or the files cannot be written.
    """
    folder = workspace.domains / "api_json-service"
    folder.mkdir(exist_ok=True)
    credentials = stored_credentials(folder / CREDENTIALS_FILE)
    typer.echo(f"database     {folder / DATABASE}", err=True)
    typer.echo(f"credentials  {folder / CREDENTIALS_FILE}  (set -a; . FILE; set +a)", err=True)
    serve(folder / DATABASE, seed=seed, credentials=credentials, port=port, watch_stdin=False)


def stored_credentials(path: Path) -> Credentials:
    """The credentials in a file that only its owner can read; made if there is none.

    Raises:
        BBError: the file is not of the form that this function writes.
    """
    if not path.exists():
        made = new_credentials()
        text = f"{USER_VARIABLE}={made.username}\n{PASSWORD_VARIABLE}={made.password}\n"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        return made
    lines = path.read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    if not values.get(USER_VARIABLE) or not values.get(PASSWORD_VARIABLE):
        raise BBError(
            f"does not set {USER_VARIABLE} and {PASSWORD_VARIABLE}",
            where=str(path),
            fix="delete it; new credentials are made at the next start",
        )
    return Credentials(values[USER_VARIABLE], values[PASSWORD_VARIABLE])
