"""WebSocket frames: every way to cut a message up is the same message; rubbish ends it cleanly."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import given, settings
from hypothesis import strategies as st

from bb_domains.robots.transports import JsonStream, decode_message, object_end
from bb_domains.robots.websocket import ConnectionLost, WebSocket

TEXTS = st.text(st.characters(codec="utf-8"), max_size=400)


@contextmanager
def linked(*, is_client: bool) -> Iterator[tuple[socket.socket, WebSocket]]:
    raw, end = socket.socketpair()
    with raw, end:
        yield raw, WebSocket(end, is_client, "peer")


def frame(payload: bytes, opcode: int, *, final: bool, mask: bytes = b"") -> bytes:
    """A frame as RFC 6455, 5.2 writes it."""
    head = bytes([opcode | (0x80 if final else 0)])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        length = bytes([bit | len(payload)])
    else:
        length = bytes([bit | 126]) + len(payload).to_bytes(2, "big")
    body = bytes(octet ^ mask[i % 4] for i, octet in enumerate(payload)) if mask else payload
    return head + length + mask + body


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, data=st.data(), mask=st.binary(min_size=4, max_size=4))
def test_fragments_and_pings_in_between_do_not_matter(
    text: str, data: st.DataObject, mask: bytes
) -> None:
    whole = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    with linked(is_client=False) as (raw, server):
        for i, part in enumerate(parts):
            final = i == len(parts) - 1
            raw.sendall(frame(b"?", 0x9, final=True, mask=mask))
            raw.sendall(frame(part, 0x0 if i else 0x1, final=final, mask=mask))
        assert server.receive(5.0) == text


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, max_size=5))
def test_what_is_sent_arrives(texts: list[str]) -> None:
    one, two = socket.socketpair()
    with one, two:
        client, server = WebSocket(one, True, "server"), WebSocket(two, False, "client")
        for text in texts:
            client.send(text)
        assert [server.receive(5.0) for _ in texts] == texts
        for text in texts:
            server.send(text)
        assert [client.receive(5.0) for _ in texts] == texts


@settings(max_examples=200, deadline=None)
@given(rubbish=st.binary(max_size=300), is_client=st.booleans())
def test_rubbish_is_a_lost_connection_or_text(rubbish: bytes, is_client: bool) -> None:
    with linked(is_client=is_client) as (raw, end):
        raw.sendall(rubbish)
        raw.shutdown(socket.SHUT_WR)
        try:
            while True:
                assert isinstance(end.receive(5.0), str)
        except ConnectionLost:
            pass


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80, deadline=None)
@given(
    messages=st.lists(st.dictionaries(TEXTS, JSON, max_size=3), min_size=1, max_size=4),
    ascii_only=st.booleans(),
    gap=st.sampled_from(["", "\n", "  "]),
)
def test_objects_one_after_the_other_are_told_apart(
    messages: list[dict[str, object]], ascii_only: bool, gap: str
) -> None:
    texts = [json.dumps({**m, "op": "x"}, ensure_ascii=ascii_only) for m in messages]
    joined = gap.join(texts).encode()
    assert object_end(joined) == len(texts[0].encode())
    one, two = socket.socketpair()
    with one, two:
        one.sendall(joined)
        stream = JsonStream(two, "peer")
        for message in messages:
            text = stream.receive(5.0)
            assert text is not None
            assert decode_message(text, "peer") == {**message, "op": "x"}
