"""Finding domains by folder and by name."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bb_core.errors import BBError
from bb_domains import domain as module
from bb_domains.domain import load_domain, make_domain, save_domain
from bb_domains.errors import DomainError
from bb_domains.schema import PlanSchema


def test_a_folder_is_loaded(shop_dir: Path, shop: PlanSchema) -> None:
    domain = load_domain(shop_dir)
    assert (domain.name, domain.root, domain.schema) == ("shop", shop_dir, shop)


def test_a_saved_domain_is_the_same_domain(tmp_path: Path, shop: PlanSchema) -> None:
    save_domain(make_domain(shop), tmp_path / "new")
    again = load_domain(tmp_path / "new")
    assert again.fingerprint == make_domain(shop).fingerprint
    save_domain(again, tmp_path / "new")
    assert load_domain(tmp_path / "new").schema == shop


def test_saving_keeps_the_authors_comments(tmp_path: Path, shop_dir: Path) -> None:
    text = (shop_dir / "plan_schema.yaml").read_text()
    (tmp_path / "plan_schema.yaml").write_text(text)
    save_domain(load_domain(tmp_path), tmp_path)
    assert (tmp_path / "plan_schema.yaml").read_text() == text


def test_the_fingerprint_follows_the_schema(shop: PlanSchema) -> None:
    changed = shop.model_copy(update={"version": 2})
    assert make_domain(changed).fingerprint != make_domain(shop).fingerprint


def test_a_grammar_of_another_schema_is_refused(tmp_path: Path, shop: PlanSchema) -> None:
    save_domain(make_domain(shop), tmp_path / "d")
    (tmp_path / "d" / "grammar.lark").write_text("start: \n")
    with pytest.raises(DomainError, match=r"grammar\.lark: does not belong to plan_schema\.yaml"):
        load_domain(tmp_path / "d")


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(
        DomainError, match=r"no domain 'nope'; .* or an installed domain \(api_json"
    ):
        load_domain("nope")
    with pytest.raises(BBError, match=r"plan_schema\.yaml: file does not exist"):
        load_domain(tmp_path)


def install(monkeypatch: pytest.MonkeyPatch, **names: object) -> None:
    found = types.ModuleType("bb_test_domain")
    found.__file__ = None
    for name, value in names.items():
        setattr(found, name, value)
    monkeypatch.setitem(sys.modules, "bb_test_domain", found)
    point = EntryPoint("mine", "bb_test_domain", "bb.domains")
    monkeypatch.setattr(module, "installed_domains", lambda: {"mine": point})


def test_an_entry_point_names_a_module(monkeypatch: pytest.MonkeyPatch, shop: PlanSchema) -> None:
    install(monkeypatch, plan_schema=lambda: shop)
    assert load_domain("mine").schema == shop


def test_an_entry_point_without_a_schema_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(DomainError, match=r"domain mine: cannot be loaded.*plan_schema\(\)"):
        load_domain("mine")
    install(monkeypatch, plan_schema=dict)
    with pytest.raises(DomainError, match="returned something else"):
        load_domain("mine")
