"""What README.md and docs/kserve.md show of a declaration can be declared, as it stands there."""

from __future__ import annotations

import re
import textwrap

import pytest

from include import declaration
from include.settings import PROJECT_ROOT

_NAMES = {name: getattr(declaration, name) for name in declaration.__all__}
_EXAMPLES = [
    (file, textwrap.dedent(block))
    for file in ("README.md", "docs/kserve.md")
    for block in re.findall(r"```python\n(.*?)```", (PROJECT_ROOT / file).read_text(), re.DOTALL)
]


@pytest.mark.parametrize(
    ("file", "example"), _EXAMPLES, ids=[f"{file}:{text.split('(')[0]}" for file, text in _EXAMPLES]
)
def test_an_example_is_a_declaration(file: str, example: str) -> None:
    exec(compile(example, file, "exec"), dict(_NAMES))


def test_the_examples_are_found() -> None:
    shown = {name for _, example in _EXAMPLES for name in re.findall(r"\b([A-Z]\w+)\(", example)}
    assert {"Sla", "Ladder", "Search", "SageMakerTarget", "KServeTarget"} <= shown
