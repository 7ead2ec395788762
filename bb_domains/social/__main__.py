"""`python -m bb_domains.social`: the commands of `cli`."""

from __future__ import annotations

from bb_core.cli import run_app
from bb_domains.social.cli import app

if __name__ == "__main__":
    run_app(app, "python -m bb_domains.social")
