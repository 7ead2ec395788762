"""Writes `openapi.json`: the service's own OpenAPI document, for use where no service runs.

python -m bb_domains.api_json.document
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bb_core.files import write_atomic
from bb_domains.api_json import DOCUMENT

DEFAULT_PORT = 8077


def document_text() -> str:
    """The document as stored: what the service answers, with its usual address as server."""
    from bb_domains.api_json.service import Operator, create_app

    with tempfile.TemporaryDirectory(prefix="bb-document-") as folder:
        app = create_app(Path(folder) / "service.db", 0, Operator("", ""))
        document = app.openapi()
        app.state.db.close()
    servers = [{"url": f"http://127.0.0.1:{DEFAULT_PORT}"}]
    return json.dumps({**document, "servers": servers}, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    write_atomic(DOCUMENT, document_text())
    sys.stderr.write(f"{DOCUMENT}\n")
