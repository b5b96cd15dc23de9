"""What the README says is true of this checkout."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from dreamscope.app import config as app_config
from dreamscope.engine import config as engine_config
from dreamscope.engine.settings import markdown
from dreamscope.engine.sprite.scores import MARKS, SEGMENT_MARKS, Scores, missed, recorded, table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
SPRITES = ROOT / "engine" / "sprite" / "weights"
MARKED = {"sprite-2": MARKS, "sprite-3": SEGMENT_MARKS}
MISSED: dict[str, list[str]] = {"sprite-2": [], "sprite-3": []}
"""What the README owns up to; better weights shorten it."""


def test_the_settings_tables_are_those_of_the_code():
    assert markdown(engine_config.SETTINGS) in README
    assert markdown(app_config.RUNNING) in README


def test_the_first_two_commands_are_the_ones_that_ci_runs():
    setup, check = re.findall(r"```sh\n(.*?)\n```", README, re.S)[:2]
    assert setup.endswith(".venv/bin/dreamscope")
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    for step in check.split(" && "):
        words = step.replace("pip install", "pip install -q")
        assert words in script


@pytest.mark.parametrize("target", sorted(set(re.findall(r"!?\[[^]]*\]\(([^)#]+)\)", README))))
def test_links_lead_somewhere(target):
    assert target.startswith("https://") or (ROOT / target).exists()


NAMED = re.findall(r"(?:benchmarks|engine|static|tests)/[\w./-]+\.\w+", README)


@pytest.mark.parametrize("path", sorted(set(NAMED)))
def test_files_it_names_exist(path):
    assert (ROOT / path).exists()


def shipped(sprite: str) -> Scores:
    """The recorded scores, which must be those of the weights beside them."""
    folder = SPRITES / sprite
    facts = json.loads((folder / "scores.json").read_text("utf-8"))
    weights = (folder / "model.safetensors").read_bytes()
    assert facts["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    return recorded(facts)


def test_the_scores_are_those_of_the_shipped_weights():
    assert table({sprite: shipped(sprite) for sprite in MARKED}, SEGMENT_MARKS) in README


@pytest.mark.parametrize("sprite", MARKED)
def test_the_shipped_weights_reach_all_other_marks(sprite):
    scores, marks = shipped(sprite), MARKED[sprite]
    assert missed(scores, marks) == MISSED[sprite]
    assert all(scores[name].cases >= 100 for name in marks)
