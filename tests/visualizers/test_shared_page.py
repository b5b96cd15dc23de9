"""A page of its own: whole without a script, and nobody's words are ever markup, script or address."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from dreamscope.engine import wire
from dreamscope.visualizers.page import Dress, Preview, Shown, render, width_of
from dreamscope.visualizers.record import Part

DRESS = Dress("body { margin: 0 }", "console.log(1 < 2);")
PIXEL = "data:image/png;base64,AAAA"
EVIL = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x="',
    "' autofocus onfocus='alert(1)",
    "]]><!--<script>",
    "\u2028alert(1)\u2029",
    "javascript:alert(1)",
    "</style><svg onload=alert(1)>",
    "&lt;script&gt;",
    "${alert(1)}`{{alert(1)}}",
    "</title><base href=//evil.example>",
    "\x00\x1b[31m",
)


class Document(HTMLParser):
    """The elements of a page with their attributes, and the text within each kind of element."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def test_a_still_has_everything_a_reader_needs(make_query) -> None:
    html = render([Shown(make_query(), "Answer", PIXEL)], DRESS, opens="/?run=run1").html
    page = Document(html)
    for text in (
        "Dogs by the fence",
        "How many dogs?",
        "There are 2.",
        "sprite-2",
        "abc1234",
        "2026-03-01 10:20 UTC",
        "Open in Dreamscope",
        "0.3 s",
    ):
        assert any(text in found for _, found in page.texts), text
    assert [image["src"] for image in page.named("img")] == [PIXEL]
    assert len([1 for _, attributes in page.elements if attributes.get("data-ground") == "g0"]) == 3
    assert 'class="replay" role="group"' in html
    assert "hidden" in next(a for _, a in page.elements if a.get("class") == "replay")
    assert " enter" not in html.split("<script")[0]


def test_several_objects_have_the_structure_of_the_page(make_detect) -> None:
    page = Document(render([Shown(make_detect("dog", "cat"), "Boxes", PIXEL)], DRESS).html)
    parts = [
        attributes for tag, attributes in page.elements if tag == "li" and attributes.get("class") == "part"
    ]
    assert [part["data-label"] for part in parts] == ["dog", "cat"]
    groups = [a for tag, a in page.elements if tag == "g" and "data-part" in a]
    assert [group["data-part"] for group in groups] == ["0", "1"]


def test_two_to_four_stand_side_by_side(make_query) -> None:
    for count in (2, 3, 4):
        html = render([Shown(make_query(), "Answer", PIXEL)] * count, DRESS, title="A < B").html
        page = Document(html)
        assert len(page.named("article")) == count
        assert page.named("main")[0]["data-columns"] == str(count)
        assert "A < B" in page.text("h1")
        assert page.text("h2")[::2] == [f"sprite-2 ({letter})" for letter in "ABCD"[:count]]
        assert html.count('<script type="application/json"') == count
    assert width_of(4) < width_of(1)
    for count in (0, 5):
        with pytest.raises(ValueError, match="1 to 4"):
            render([Shown(make_query(), "Answer")] * count, DRESS)


def test_the_policy_names_our_script_and_style_and_nothing_else(make_query) -> None:
    page = render([Shown(make_query(), "Answer", PIXEL)], DRESS)
    for text in (DRESS.css, DRESS.script):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.policy
    assert "default-src 'none'" in page.policy
    assert "connect-src 'none'" in page.policy
    assert "unsafe-inline" not in page.policy.replace("style-src-attr 'unsafe-inline'", "")
    assert "'self'" not in page.policy
    (meta,) = [m for m in Document(page.html).named("meta") if m.get("http-equiv")]
    assert meta["content"] == page.policy
    served = render([Shown(make_query(), "Answer", "/s/x/image/0", "/s/x/timeline/0")], DRESS)
    assert "connect-src 'self'" in served.policy
    assert "application/json" not in served.html


def hostile(make_query: Any, make_detect: Any, evil: str) -> list[Shown]:
    """Runs in which every field that a person, a file or a model fills says `evil`."""
    words = {
        "title": evil, "notes": evil, "tags": (evil,), "model": evil, "revision": evil, "variant": evil,
        "created_at": evil, "id": evil,
    }  # fmt: skip
    query = make_query(evil, evil, **words)
    part = query.parts[0]
    ground = wire.Ground(0, len(evil), ((0.5, 0.5),))
    probs = ((len(evil), 0.5),)
    result = wire.QueryResult(evil, wire.Reasoning(evil, (ground,), probs), probs)
    events = (
        wire.RequestAccepted(request_id=evil, seq=0, model=evil, skill="query"),
        wire.SpanOpen(request_id=evil, seq=1, index=0, start=0),
        wire.ReasoningDelta(request_id=evil, seq=2, delta=evil),
        wire.RequestDone(
            request_id=evil,
            seq=3,
            finish_reason=evil,
            output=wire.result_to_json(result),
            metrics=wire.Metrics(),
        ),
    )
    create = replace(part.create, settings={evil: evil}, preset=evil, model=evil, variant=evil)
    failure = wire.ErrorInfo(evil, evil, evil, evil)
    failed = Part(create, "failed", (*events[:3], wire.RequestFailed(request_id="r", seq=9, error=failure)))
    structured = json.dumps({evil: [evil]})
    table = wire.RequestDone(
        request_id="r", seq=1, finish_reason="stop", output={"answer": structured}, metrics=wire.Metrics()
    )
    asked = replace(part.create, response_format={"type": "json_object"})
    outline = wire.RequestDone(
        request_id="r",
        seq=1,
        finish_reason="stop",
        output={"path": evil, "bbox": {"x_min": 0, "y_min": 0, "x_max": 1, "y_max": 1}, "parse_error": evil},
        metrics=wire.Metrics(),
    )
    segment = wire.RequestCreate(request_id="r", skill="segment", object=evil)
    return [
        Shown(query.with_parts([Part(create, "done", events)]), evil, PIXEL),
        Shown(query.with_parts([failed]), evil, PIXEL),
        Shown(make_detect(evil, evil, **words), evil, PIXEL),
        Shown(query.with_parts([Part(asked, "done", (table,))]), evil, PIXEL),
        Shown(replace(query, skill="segment").with_parts([Part(segment, "done", (outline,))]), evil, PIXEL),
    ]


@pytest.mark.parametrize("evil", EVIL)
def test_hostile_words_stay_words(make_query, make_detect, evil) -> None:
    for one in hostile(make_query, make_detect, evil):
        preview = Preview(f"https://h/{evil}", f"https://h/{evil}.png")
        page = Document(render([one], DRESS, title=evil, opens=f"/?run={evil}", preview=preview).html)
        calm = Document(
            render([replace(one, heading="x")], DRESS, title="x", opens="/", preview=Preview("x", "x")).html
        )
        scripts = page.named("script")
        assert [script.get("type") for script in scripts] == ["application/json", None]
        assert all(set(script) <= {"type", "class"} for script in scripts)
        assert page.text("script")[-1] == DRESS.script
        assert [text for text in page.text("style")] == [DRESS.css]
        assert [len(page.named(tag)) for tag in ("base", "img", "title", "style")] == [0, 1, 1, 1]
        assert {tag for tag, _ in page.elements} == {tag for tag, _ in calm.elements}
        for _, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on")]
            for name in ("href", "src", "action", "formaction", "xlink:href"):
                value = attributes.get(name) or ""
                assert not value.strip().lower().startswith("javascript:")
        json.loads(page.text("script")[0])


@pytest.mark.parametrize("evil", EVIL)
def test_embedded_json_has_no_sign_that_could_end_it(make_query, make_detect, evil) -> None:
    for one in hostile(make_query, make_detect, evil):
        html = render([one], DRESS).html
        (embedded,) = re.findall(
            r'<script type="application/json" class="timeline">(.*?)</script>', html, re.S
        )
        assert not set(embedded) & set("<>&\u2028\u2029")
        assert embedded.isascii()
        assert json.loads(embedded)["frames"]


def test_what_people_wrote_for_themselves_stays_at_home(make_query) -> None:
    run = make_query(notes="private thought", tags=("secret-tag",))
    html = render([Shown(run, "Answer", PIXEL)], DRESS, preview=Preview("u", "i")).html
    assert "private thought" not in html
    assert "secret-tag" not in html


def test_link_previews(make_query) -> None:
    preview = Preview("https://h/s/x", "https://h/s/x/preview.png")
    page = Document(render([Shown(make_query(), "Answer", PIXEL)], DRESS, preview=preview).html)
    properties = {meta["property"]: meta["content"] for meta in page.named("meta") if "property" in meta}
    assert properties["og:title"] == "Dogs by the fence"
    assert properties["og:description"] == "sprite-2: There are 2."
    assert properties["og:image"] == "https://h/s/x/preview.png"
    assert (properties["og:image:width"], properties["og:image:height"]) == ("1200", "630")
    without = Document(render([Shown(make_query(), "Answer", PIXEL)], DRESS).html)
    assert not [meta for meta in without.named("meta") if "property" in meta]


def test_an_image_that_is_gone_is_said(make_query) -> None:
    html = render([Shown(make_query(), "Answer")], DRESS).html
    assert "The image is not kept any more." in html
    assert "<img" not in html
    assert "<figure" not in render([Shown(make_query(picture=None), "Answer")], DRESS).html


def test_a_script_must_not_end_its_own_element() -> None:
    with pytest.raises(ValueError, match="own element"):
        Dress("", "'</script>'")
    with pytest.raises(ValueError, match="own element"):
        Dress("</style>", "")
