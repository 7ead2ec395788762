import pytest

from bb_train.steps import StepBook, announced, code_fingerprint


class Work:
    """Counts how often it was done."""

    def __init__(self, path):
        self.path, self.times = path, 0

    def __call__(self):
        self.times += 1
        self.path.write_text("made")
        return {"answer": 42, "files": [str(self.path)]}


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path / "made.txt")


def test_equal_inputs_are_reused_and_changed_ones_are_not(tmp_path, work):
    book = StepBook(tmp_path / "book")
    first = book.result("one", {"seed": 0}, work)
    second = book.result("one", {"seed": 0}, work)
    assert (first["reused"], second["reused"], work.times) == (False, True, 1)
    assert second["answer"] == 42
    assert not book.result("one", {"seed": 1}, work)["reused"]


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_result_whose_files_changed_is_made_again(tmp_path, work, damage):
    book = StepBook(tmp_path / "book")
    book.result("one", {}, work)
    if damage == "change":
        work.path.write_text("altered")
    else:
        work.path.unlink()
    assert not book.result("one", {}, work)["reused"]
    assert work.path.read_text() == "made"


def test_an_interrupted_step_is_not_remembered(tmp_path, work):
    book = StepBook(tmp_path / "book")
    book.result("one", {"seed": 0}, work)

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        book.result("one", {"seed": 1}, interrupted)
    assert not book.result("one", {"seed": 0}, work)["reused"]


def test_code_fingerprint_follows_the_source(tmp_path, monkeypatch):
    package = tmp_path / "fingerprinted"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_fingerprint("fingerprinted")
    assert code_fingerprint("fingerprinted") == before
    (package / "part.py").write_text("x = 2\n")
    assert code_fingerprint("fingerprinted") != before
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        code_fingerprint("no_such_module")


def test_a_step_says_its_number_and_its_time(capsys):
    with announced(3, 8, "make traces") as say:
        say("3000 traces")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["[3/8] make traces", "      3000 traces"]
    assert lines[2].strip().endswith(" s")
