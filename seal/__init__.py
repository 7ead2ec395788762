"""Self-edits: a model writes training data out of passages, filters keep what is worth it.

Works with any Hugging Face causal LM. `seal generate --help` is the command; `SelfEditGenerator`
is the same from Python.
"""

from seal.generator import SelfEditGenerator
from seal.passages import Passage, load_passages
from seal.prompts import PromptBuilder
from seal.quality import QualityLimits
from seal.settings import GenerationSettings
from seal.strategies import SelfEditStrategy, get_strategy

__all__ = [
    "GenerationSettings",
    "Passage",
    "PromptBuilder",
    "QualityLimits",
    "SelfEditGenerator",
    "SelfEditStrategy",
    "get_strategy",
    "load_passages",
]
