"""Modules that become one script keep their names to themselves and arrive in order."""

from __future__ import annotations

import pytest

from dreamscope.app import bundle as bundling
from dreamscope.app.bundle import bundle


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    texts: dict[str, str] = {}
    monkeypatch.setattr(bundling, "static_text", texts.__getitem__)
    return texts


def test_each_module_comes_once_and_after_what_it_imports(modules) -> None:
    modules["main.js"] = 'import { A } from "./a.js";\nimport { b, C } from "./b.js";\nA(b, C);\n'
    modules["a.js"] = 'import { b } from "./b.js";\n// a comment\nexport class A { x = b; }\nconst K = 1;\n'
    modules["b.js"] = "export const b = 2;\nexport async function C() {}\nconst K = 3;\n"
    script = bundle("main.js")
    assert [script.count(f"const module_{name} ") for name in ("a", "b", "main")] == [1, 1, 1]
    assert script.index("module_b =") < script.index("module_a =") < script.index("module_main =")
    assert "const { b, C } = module_b;" in script
    assert "return { b, C };" in script
    assert "import" not in script
    assert "export" not in script
    assert "comment" not in script


@pytest.mark.parametrize(
    "line",
    ['import x from "./a.js";', 'export { a } from "./a.js";', "export default 1;", 'import "./a.js";'],
)
def test_other_forms_are_refused(modules, line) -> None:
    modules["main.js"] = f"{line}\n"
    modules["a.js"] = ""
    with pytest.raises(ValueError, match="cannot be bundled"):
        bundle("main.js")


def test_circles_are_refused(modules) -> None:
    modules["a.js"] = 'import { b } from "./b.js";\nexport const a = 1;\n'
    modules["b.js"] = 'import { a } from "./a.js";\nexport const b = 1;\n'
    with pytest.raises(ValueError, match="imports itself"):
        bundle("a.js")


def test_the_shared_page_is_small() -> None:
    script = bundle("shared_page.js")
    assert len(script) < 40_000
    for name in ("Replay", "ReplayControls", "Stream", "Evidence"):
        assert f"class {name} " in script
