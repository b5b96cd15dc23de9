"""Several runs on one page, and runs of several parts."""

from __future__ import annotations

import json

import pytest

from dreamscope.app import words
from dreamscope.app.supervisor import Supervisor
from dreamscope.visualizers.palette import colour, family_of

FOUR = ("0", "1", "2", "3")


def asks(*questions, **more):
    return [
        {"column": str(number), "skill": "query", "question": question, "reasoning": True, **more}
        for number, question in enumerate(questions)
    ]


async def test_all_columns_of_a_comparison_begin_at_once(page, png):
    await page.image("i1", png)
    await page.send(compare={"columns": asks("hang a", "hang b", "hang c", "hang d")})
    await page.until_all("running", *FOUR)
    begun = [page.begun(column) for column in FOUR]
    assert len({run["id"] for run in begun}) == 4
    assert len({run["comparison"] for run in begun}) == 1
    assert begun[0]["comparison"]
    assert [run["ask"]["question"] for run in begun] == ["hang a", "hang b", "hang c", "hang d"]
    await page.send(stop=True)
    await page.until_all("stopped", *FOUR)


async def test_columns_do_not_mix(page, png):
    await page.image("i1", png)
    await page.send(compare={"columns": asks("echo left", "echo right")})
    await page.until_all("done", "0", "1")
    assert json.loads(page.text("answer", "0"))["question"] == "echo left"
    assert json.loads(page.text("answer", "1"))["question"] == "echo right"
    assert page.html("answer") == ""


async def test_one_column_fails_and_the_other_goes_on(page, png):
    await page.image("i1", png)
    await page.send(compare={"columns": asks("fail", "How many dogs?")})
    await page.until_all("failed", "0")
    await page.until_all("done", "1")
    assert "The device ran out of memory." in page.text("status", "0")
    assert page.text("answer", "1") == "Three."


async def test_a_refused_column_says_so_beside_its_field(page, png):
    await page.image("i1", png)
    await page.send(compare={"columns": asks("invalid", "How many dogs?")})
    message = await page.until(lambda m: "invalid" in m)
    assert message == {"invalid": {"field": "prompt", "text": "This question is too long."}, "column": "0"}
    await page.until_all("done", "1")
    await page.until_all("idle", "0")


async def test_one_column_is_stopped_and_can_run_again(page, png):
    await page.image("i1", png)
    await page.send(compare={"columns": asks("hang", "hang")})
    await page.until_all("running", "0", "1")
    await page.send(stop="1")
    await page.until_run("stopped", "1")
    assert page.state("0") == "running"
    await page.ask(column="1")
    await page.until_run("done", "1")
    await page.ask(column="0")  # which is busy
    message = await page.until(lambda m: "invalid" in m)
    assert (message["column"], message["invalid"]["text"]) == ("0", words.RUN_GOES_ON)
    await page.ask()  # the playground is not
    await page.until_run("done")
    await page.send(stop="0")
    await page.until_run("stopped", "0")


async def test_one_seed_for_all_columns_unless_they_have_their_own(page, png):
    await page.image("i1", png)
    columns = asks("echo", "echo", "echo")
    columns[2]["settings"] = {"seed": "7"}
    await page.send(compare={"columns": columns})
    await page.until_all("done", "0", "1", "2")
    seeds = [json.loads(page.text("answer", column))["settings"]["seed"] for column in ("0", "1", "2")]
    assert seeds[0] == seeds[1] == page.begun("0")["ask"]["settings"]["seed"]
    assert seeds[2] == 7


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (asks("one"), "2 to 4 columns"),
        (asks("1", "2", "3", "4", "5"), "2 to 4 columns"),
        ([*asks("one"), *asks("two")], "same name"),
        ("both", "2 to 4 columns"),
    ],
)
async def test_a_comparison_has_two_to_four_distinct_columns(page, png, columns, told):
    await page.image("i1", png)
    await page.send(compare={"columns": columns})
    message = await page.until(lambda m: "invalid" in m)
    assert told in message["invalid"]["text"]
    assert not any("begin" in m for m in page.seen)


async def test_no_column_begins_if_one_cannot(page, png):
    await page.image("i1", png)
    await page.send(compare={"columns": asks("How many dogs?", "  ")})
    message = await page.until(lambda m: "invalid" in m)
    assert message["column"] == "1"
    assert message["invalid"] == {"field": "prompt", "text": words.PROMPT_MISSING["query"]}
    assert not any("begin" in m for m in page.seen)


# ----------------------------------------------------------------------------------------------- parts


async def test_a_run_of_several_objects_asks_once_for_each(page, png, recorded):
    await page.image("i1", png)
    await page.send(run={"skill": "detect", "objects": ["dog", "red car"]})
    await page.until_run("done")
    shades = [colour(family) for family in (family_of("dog"), family_of("red car", [family_of("dog")]))]
    assert page.begun()["parts"] == [
        {"name": name, "colour": shade.fill, "halo": shade.halo}
        for name, shade in zip(("dog", "red car"), shades, strict=True)
    ]
    assert page.begun()["ask"]["objects"] == ["dog", "red car"]
    assert 'data-ground="b0"' in page.html("marks", part=0)
    assert 'data-ground="1.b0"' in page.html("marks", part=1)
    record = await recorded(page, "done")
    assert [part.create.object for part in record.parts] == ["dog", "red car"]
    assert record.prompt == "dog, red car"


async def test_a_part_that_fails_spares_the_others(page, png, recorded):
    await page.image("i1", png)
    await page.send(run={"skill": "point", "objects": ["dog", "fail", "cat"]})
    await page.until_run("failed")
    assert "The device ran out of memory." in page.text("status", part=1)
    record = await recorded(page, "failed")
    assert [part.state for part in record.parts] == ["done", "failed", "done"]
    assert [part.result.count for part in record.parts] == [3, 2, 3]


async def test_a_part_that_is_refused_is_no_field_of_the_form(page, png):
    await page.image("i1", png)
    await page.send(run={"skill": "point", "objects": ["dog", "invalid"]})
    await page.until_run("failed")
    assert not any("invalid" in m for m in page.seen)
    assert "This question is too long." in page.text("status", part=1)


async def test_stopping_ends_all_parts(page, png, recorded):
    await page.image("i1", png)
    await page.send(run={"skill": "point", "objects": ["hang", "dog", "hang too"]})
    await page.until(lambda m: "2.p1" in json.dumps(m))
    await page.send(stop=True)
    await page.until_run("stopped")
    record = await recorded(page, "stopped")
    assert [part.state for part in record.parts] == ["stopped", "done", "stopped"]
    assert len(record.parts[2].result.points) == 2


@pytest.mark.parametrize("objects", [["dog"], ["dog", "Dog "], ["dog", ""], ["dog", 3], list("abcdefghi"), 3])
async def test_objects_that_are_not_two_to_eight_names(page, png, objects):
    await page.image("i1", png)
    await page.send(run={"skill": "detect", "objects": objects})
    message = await page.until(lambda m: "invalid" in m)
    assert message["invalid"] == {"field": "prompt", "text": words.objects_strange(8)}


async def test_no_more_requests_than_the_engine_allows(open_page, engine_script, png, store, recorded):
    supervisor = Supervisor(engine_script("--inflight=3", "--delay=0.002"))
    supervisor.start()
    await supervisor.wait_ready()
    columns = [
        {"column": column, "skill": "detect", "objects": [f"{name} {column}" for name in "abcde"]}
        for column in FOUR
    ]
    async with open_page(supervisor, store) as page:
        await page.until_engine("ready")
        await page.image("i1", png)
        await page.send(compare={"columns": columns})
        await page.until_all("done", *FOUR)  # the fake engine refuses a fourth at a time
        for column in FOUR:
            assert len((await recorded(page, "done", column)).parts) == 5
    await supervisor.stop()


async def test_stopping_ends_what_was_not_sent_yet(open_page, engine_script, png, store, recorded):
    supervisor = Supervisor(engine_script("--inflight=1"))
    supervisor.start()
    await supervisor.wait_ready()
    async with open_page(supervisor, store) as page:
        await page.until_engine("ready")
        await page.image("i1", png)
        await page.send(compare={"columns": asks("hang", "dogs")})
        await page.until_run("running", "0")
        assert page.state("1") == "queued"
        await page.send(stop="1")
        await page.until_run("stopped", "1")
        assert (await recorded(page, "stopped", "1")).parts[0].events == ()
        await page.send(stop="0")
        await page.until_run("stopped", "0")
    await supervisor.stop()
