"""The corpus of the base rail: the standard library's sources and prose, and made-up records."""

from __future__ import annotations

import ast
import hashlib
import random
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from bb_train.base_recipe_text import documents

_SKIP = {"test", "tests", "idle_test", "site-packages", "encodings", "lib2to3", "__pycache__"}
_CHUNK_CHARS = 3000


def library_files(root: Path | None = None) -> list[Path]:
    """Source files of the standard library, sorted; tests and code tables left out."""
    top = root or Path(sysconfig.get_paths()["stdlib"])
    found = [p for p in top.rglob("*.py") if not _SKIP & set(p.relative_to(top).parts)]
    return sorted(found)


def _prose(source: str) -> str:
    """Docstrings of one module, one paragraph each; empty when it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    return "\n\n".join(d for d in docs if d and len(d) > 60)


def library_chunks(root: Path | None = None) -> list[str]:
    """Sources and docstrings, cut into pieces of about 3,000 characters.

    `pydoc_data/topics.py`, the language reference as prose, counts as text, not as code.
    """
    chunks: list[str] = []
    for path in library_files(root):
        source = path.read_text(encoding="utf-8", errors="replace")
        texts = [source, _prose(source)]
        if path.name == "topics.py":
            found = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)]
            texts = [n.value for n in found if isinstance(n.value, str)]
        for text in texts:
            pieces = (text[i : i + _CHUNK_CHARS] for i in range(0, len(text), _CHUNK_CHARS))
            chunks.extend(p for p in pieces if len(p) > 200)
    return chunks


def corpus(seed: int, made_share: float, root: Path | None = None) -> Iterator[str]:
    """Endless shuffled mixture of library chunks and made documents.

    Args:
        seed: order of the library's chunks and the made documents.
        made_share: share of made text, by characters, 0 to 1.
        root: folder of the library; the running Python's own by default.

    Yields:
        Documents. The library is passed over as often as needed, in a new order each time.
    """
    rng = random.Random(seed)
    chunks = library_chunks(root)
    made = documents(seed)
    library_chars = made_chars = 0
    while True:
        rng.shuffle(chunks)
        for chunk in chunks:
            library_chars += len(chunk)
            yield chunk
            while made_chars < made_share / (1 - made_share) * library_chars:
                text = next(made)
                made_chars += len(text)
                yield text


def corpus_hash(root: Path | None = None) -> str:
    """SHA-256 over the library files' names and bytes, for the model card."""
    digest = hashlib.sha256()
    for path in library_files(root):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
