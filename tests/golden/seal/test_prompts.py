"""The wording as a model receives it. Made again by `python tests/golden/seal/test_prompts.py`."""

import json
from pathlib import Path

from seal.passages import Passage
from seal.strategies import STRATEGIES

GOLDEN = Path(__file__).parent / "prompts.json"
PASSAGE = Passage("p", "The harbour was dredged in spring.\nBoats moved.", "Brennick")


def prompts() -> dict[str, dict[str, object]]:
    builders = {name: strategy.prompt_builder(3) for name, strategy in STRATEGIES.items()}
    return {
        name: {
            "fingerprint": builder.fingerprint,
            "messages": builder.messages(PASSAGE),
            "plain": builder.build_prompt(PASSAGE).split("\n"),
        }
        for name, builder in builders.items()
    }


def test_the_wording_is_that_of_the_golden_file():
    assert prompts() == json.loads(GOLDEN.read_text(encoding="utf-8"))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(prompts(), indent=1) + "\n", encoding="utf-8")
