from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.request import urlopen

import pytest
from PIL import Image

from dreamscope.app.config import SAMPLING, SETTINGS_OF_SKILL, SKILLS
from dreamscope.app.main import static_folder
from dreamscope.app.supervisor import RemoteEngine
from dreamscope.app.ui.examples import Example, example_bytes, load_examples
from dreamscope.app.ui.markup import attributes, text
from dreamscope.app.ui.settings_form import default_of
from dreamscope.app.ui.shell import shell_html

HOSTILE = "</button><script>x</script> ${1} {{value}} `y` \\ \"'"
VOID = {"img", "input", "br", "link", "meta"}


class Tags(HTMLParser):
    """Checks that every element is closed, and collects ids and what refers to them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: set[str] = set()

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        for name in ("for", "aria-controls", "aria-labelledby", "aria-describedby"):
            self.references |= set(values.get(name, "").split())

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return shell_html(load_examples())


def test_every_element_is_closed_and_every_reference_exists(page):
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    assert tags.references <= set(tags.ids)


def test_nothing_is_left_for_a_template_language(page):
    assert "%" not in re.sub(r"\d+%", "", page)
    assert "${" not in page
    assert "{{" not in page
    assert "`" not in page


def test_hostile_words_stay_words():
    page = shell_html((Example("a.png", HOSTILE, HOSTILE),))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "<script" not in page
    assert "${" not in page
    assert "{{" not in page


def test_attributes():
    assert (
        attributes(class_="a", data_x='"', checked=True, hidden=False) == 'class="a" data-x="&quot;" checked'
    )
    assert text("$`{}\\") == "&#36;&#96;&#123;&#125;&#92;"


def test_every_setting_has_a_labelled_field_with_help(page):
    for row in SAMPLING:
        assert f'for="ds-{row.name}"' in page
        assert f'id="ds-{row.name}-help">{text(row.help)}' in page
    assert set(SETTINGS_OF_SKILL) == set(SKILLS)


def test_defaults_are_those_of_the_skill():
    temperature, seed = SAMPLING[0], SAMPLING[-1]
    assert default_of(temperature, "query") == "0.2"
    assert default_of(temperature, "detect") == "0"
    assert default_of(seed, "query") == "random"


def test_example_scenes_exist_and_are_described():
    examples = load_examples()
    assert 3 <= len(examples) <= 6
    for example in examples:
        assert example.alt
        assert example.question
        assert example.skill in SKILLS
        data = example_bytes(example.file, examples)
        assert data.startswith(b"\x89PNG")
        with Image.open(static_folder() / "scenes" / example.file) as picture:
            assert min(picture.size) >= 256


@pytest.mark.parametrize("name", ["scenes.json", "../style.css", "..%2fstyle.css", "nothing.png", ""])
def test_only_listed_scenes_are_served(name):
    assert example_bytes(name, load_examples()) is None


async def test_routes_and_their_headers(serve_routes):
    import asyncio

    async with serve_routes(RemoteEngine("ws://127.0.0.1:9")) as address:
        with await asyncio.to_thread(urlopen, f"http://{address}/ui/main.js") as answer:
            assert answer.headers["cache-control"] == "no-cache"
            assert "javascript" in answer.headers["content-type"]


def test_static_files_refer_to_nothing_outside():
    for file in static_folder().iterdir():
        if file.suffix in (".js", ".css"):
            found = set(re.findall(r"https?://[^\s\"')]+", file.read_text()))
            assert found <= {"http://www.w3.org/2000/svg"}, file.name
