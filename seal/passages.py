"""Passages: what self-edits are made from, read from `.txt` and `.jsonl` files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bb_core.canonical import sha256_hex
from bb_core.files import read_text
from seal.errors import PassageError

# Accepted names of the field that holds the text, in order of preference.
TEXT_KEYS = ("passage", "text", "context")


@dataclass(frozen=True)
class Passage:
    """One passage: its id within the file, its text, and a title if it has one."""

    id: str
    text: str
    title: str = ""

    @property
    def sha256(self) -> str:
        """SHA-256 of the text in UTF-8, as 64 hexadecimal digits."""
        return sha256_hex(self.text.encode("utf-8"))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing but white space."""
        return not self.text.strip()


def load_passages(path: Path) -> list[Passage]:
    """Read a file of passages.

    A `.txt` file holds passages separated by blank lines; the id of each is the line it starts on.
    A `.jsonl` file holds one object a line with the text under `passage`, `text` or `context`, and
    optionally `id` and `title`. Empty passages are kept, so that the caller can count them.

    Raises:
        PassageError: wrong suffix, missing or undecodable file, a line that is not a passage,
            two passages with one id, no passage at all. The message names file, line and fix.
    """
    if path.suffix not in {".txt", ".jsonl"}:
        raise PassageError(
            f"{path.suffix or 'a name without suffix'} is not a kind of passage file",
            where=str(path),
            fix="use .txt (passages separated by blank lines) or .jsonl (one object a line)",
        )
    text = read_text(path).removeprefix("\ufeff").replace("\r\n", "\n")
    passages = _from_jsonl(path, text) if path.suffix == ".jsonl" else _from_txt(text)
    if not passages:
        raise PassageError("the file holds no passage", where=str(path), fix="add at least one")
    return passages


def _from_txt(text: str) -> list[Passage]:
    passages: list[Passage] = []
    block: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            block.append(line.rstrip())
        elif block:
            passages.append(Passage(f"line-{number - len(block)}", "\n".join(block)))
            block = []
    return passages


def _from_jsonl(path: Path, text: str) -> list[Passage]:
    first_line: dict[str, int] = {}
    passages: list[Passage] = []
    # Only "\n" ends a line: a JSON string may hold U+2028, at which str.splitlines would cut it.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        passage = _passage(_json_object(line, f"{path}:{number}"), number, path)
        if passage.id in first_line:
            raise PassageError(
                f"id {passage.id!r} was already used on line {first_line[passage.id]}",
                where=f"{path}:{number}",
                fix="give every passage its own id, or none at all",
            )
        first_line[passage.id] = number
        passages.append(passage)
    return passages


def _json_object(line: str, where: str) -> dict[str, Any]:
    fix = 'write one object a line, such as {"id": "p1", "passage": "..."}'
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        place = f"{where}:{error.colno}"
        raise PassageError(f"not JSON: {error.msg}", where=place, fix=fix) from error
    except (RecursionError, ValueError) as error:  # too deep, or an integer of 5,000 digits
        raise PassageError(f"not JSON: {error}", where=where, fix=fix) from error
    if not isinstance(value, dict):
        raise PassageError(f"a JSON {type(value).__name__} is no passage", where=where, fix=fix)
    return value


def _passage(record: dict[str, Any], number: int, path: Path) -> Passage:
    where = f"{path}:{number}"
    key = next((key for key in TEXT_KEYS if key in record), None)
    if key is None:
        raise PassageError(
            f"no text: the keys are {sorted(record)}",
            where=where,
            fix=f"put the text under one of {', '.join(TEXT_KEYS)}",
        )
    identifier = record.get("id", f"line-{number}")
    if not isinstance(identifier, str | int) or isinstance(identifier, bool):
        raise PassageError(
            "id is neither text nor integer", where=where, fix="use text or an integer"
        )
    passage_id = str(identifier)
    fields = {key: record[key], "title": record.get("title", ""), "id": passage_id}
    for name, value in fields.items():
        if not isinstance(value, str):
            raise PassageError(
                f"{name} is not a text but {value!r:.40}", where=where, fix="use text"
            )
        _refuse_lone_surrogates(value, name, where)
    return Passage(passage_id, record[key], fields["title"])


def _refuse_lone_surrogates(text: str, name: str, where: str) -> None:
    """A lone escape such as backslash-ud800 decodes to what no UTF-8 and no tokenizer can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PassageError(
            f"{name} has half a surrogate pair at character {error.start}",
            where=where,
            fix="write the whole pair, or the character itself in UTF-8",
        ) from error
