"""Which bytes each token of a tokenizer stands for."""

from __future__ import annotations

from typing import Any


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes each token id stands for; b"" for special tokens.

    Works for byte-level vocabularies (GPT-2's alphabet) and for SentencePiece-like ones.

    Args:
        tokenizer: a Hugging Face tokenizer.

    Returns:
        One entry for each id below `len(tokenizer)`.
    """
    special = set(tokenizer.all_special_ids)
    names = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    alphabet = _byte_alphabet()
    known = [n for i, n in enumerate(names) if i not in special and n]
    byte_level = all(ch in alphabet for name in known for ch in name)
    table = []
    for index, name in enumerate(names):
        if index in special or not name:
            table.append(b"")
        elif byte_level:
            table.append(bytes(alphabet[ch] for ch in name))
        elif len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
            table.append(bytes([int(name[3:5], 16)]))
        else:
            table.append(name.replace("\u2581", " ").encode())
    return table


def _byte_alphabet() -> dict[str, int]:
    """The printable character that byte-level tokenizers write for each byte, inverted."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(b): b for b in printable}
    rest = (b for b in range(256) if b not in printable)
    table.update({chr(256 + i): b for i, b in enumerate(rest)})
    return table
