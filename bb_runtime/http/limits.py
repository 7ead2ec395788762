"""Bounds of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServerLimits:
    """What the server takes on.

    Attributes:
        max_body_bytes: largest request body.
        body_timeout_s: longest time until a body is there.
        max_new_tokens: largest and default budget of an answer.
        max_constraint: largest constraint of a request (schema, grammar, tools), in characters.
        compile_timeout_s: longest time to compile one.
        compiling: constraints compiled at the same time.
        deadline_s: an answer ends after so long, whatever the request says; None for never.
        drain_s: at the end, how long requests may still take.
        hosts: values of the Host header that are answered (others get 400), so that a web page
            cannot reach a server on loopback through a name of its own.
        kept: answers and plan requests that are remembered, for feedback and status.
    """

    max_body_bytes: int = 256 * 1024
    body_timeout_s: float = 30.0
    max_new_tokens: int = 512
    max_constraint: int = 64 * 1024
    compile_timeout_s: float = 20.0
    compiling: int = 4
    deadline_s: float | None = None
    drain_s: float = 30.0
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    kept: int = 4096
