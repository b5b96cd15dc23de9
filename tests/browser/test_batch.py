"""One prompt, two columns, many images: chosen, watched, cancelled, continued, read and exported."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from dreamscope.app.ui.examples import example_bytes, load_examples

pytestmark = pytest.mark.browser

VIEW = "main[data-view=compare] "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four scenes and a file that is no image."""
    images = tmp_path / "scenes"
    images.mkdir()
    for example in load_examples()[:4]:
        (images / example.file).write_bytes(example_bytes(example.file, load_examples()) or b"")
    (images / "notes.txt").write_text("not an image")
    return images


@pytest.fixture
def many(open_page, app) -> Callable[..., Page]:
    def open_it(**options: object) -> Page:
        page = open_page(**options)
        page.goto(f"{app.url}/?view=compare&mode=many")
        expect(page.locator(".engine")).to_have_attribute("data-engine", "ready")
        return page

    return open_it


def ask(page: Page, skill: str, prompt: str) -> None:
    page.click(f"{VIEW}[data-tab={skill}]")
    page.fill("#cmp-prompt", prompt)
    page.keyboard.press("Enter")


def finished(page: Page) -> None:
    expect(page.locator(".bt")).to_have_attribute("data-state", "done", timeout=60_000)
    expect(page.locator(".batch-image")).to_have_count(4)


def test_a_folder_is_compared_sorted_opened_and_exported(many, folder, shoot, accessible):
    page = many()
    shoot(page, "batch-empty")
    accessible(page)
    page.set_input_files("#bt-folder", folder)
    expect(page.locator(".bt-image img")).to_have_count(4)
    expect(page.locator(".bt-title")).to_have_text("4 images")
    expect(page.locator(".bt-said")).to_have_text("Run asks both columns about each.")
    shoot(page, "batch-chosen")
    ask(page, "detect", "differ")
    expect(page.locator(".bt-progress")).to_be_visible()
    finished(page)
    expect(page.locator(".batch-summary")).not_to_be_empty()
    expect(page.locator(".matrix td.agree").first).to_be_visible()
    expect(page.locator(".bars .bar-count").first).to_be_visible()
    accessible(page)
    shoot(page, "batch")

    names = page.locator(".batch-name")
    page.get_by_label("Sort by").select_option("name")
    assert names.all_inner_texts() == sorted(names.all_inner_texts())
    assert len(list(csv.reader(io.StringIO(downloaded(page, "csv"))))) > 4
    assert json.loads(downloaded(page, "json"))

    page.click(".batch-link >> nth=0")
    expect(page).to_have_url(re.compile("comparison="))
    expect(page.locator(".compare-strip .matched")).to_have_text("2 matched")
    page.go_back()
    finished(page)
    expect(page.locator("#cmp-prompt")).to_have_value("differ")


def downloaded(page: Page, form: str) -> str:
    with page.expect_download() as download:
        page.click(f"[data-bt={form}]")
    return download.value.path().read_text("utf-8-sig")


def test_a_model_is_downloaded_for_a_batch_only_after_the_question(many, folder):
    page = many()
    page.locator(".cmp-side").nth(1).locator(".side-model").select_option("moondream2")
    page.set_input_files("#bt-folder", folder)
    expect(page.locator(".bt-image img")).to_have_count(4)
    ask(page, "query", "How many?")
    expect(page.locator("#ds-download")).to_contain_text("3.9 GB")
    expect(page.locator(".bt")).not_to_have_attribute("data-state", "running")
    page.click("#ds-download [data-act=download]")
    finished(page)


def test_a_batch_is_restored_by_its_address_and_listed(many, folder):
    page = many()
    page.set_input_files("#bt-folder", folder)
    ask(page, "query", "How many dogs are there?")
    finished(page)
    page.reload()
    finished(page)
    expect(page.locator("#cmp-prompt")).to_have_value("How many dogs are there?")
    entry = page.locator(".bt-entry[aria-current=true]")
    expect(entry).to_contain_text("How many dogs are there?")
    expect(entry).to_contain_text("Done")
    page.click("[data-bt=new]")
    expect(page.locator(".bt-drop")).to_be_visible()
    page.click(".bt-entry >> nth=0")
    finished(page)


def test_it_is_cancelled_and_goes_on_where_it_was(many, folder, shoot):
    page = many()
    page.set_input_files("#bt-folder", folder)
    ask(page, "query", "hang")
    cancel = page.locator("[data-bt=cancel]")
    expect(cancel).to_be_visible()
    cancel.click()
    expect(page.locator(".bt")).to_have_attribute("data-state", re.compile("cancelled|stopped"))
    expect(page.locator("[data-bt=continue]")).to_be_visible()
    expect(page.locator(f"{VIEW}[data-do=run]")).to_be_visible()
    shoot(page, "batch-cancelled")
    page.click("[data-bt=continue]")
    expect(page.locator(".bt")).to_have_attribute("data-state", "running")
    page.keyboard.press("Escape")
    expect(page.locator(".bt")).to_have_attribute("data-state", re.compile("cancelled|stopped"))


def test_a_zip_is_unpacked_and_what_is_no_image_is_named(many, folder, tmp_path):
    packed = tmp_path / "images.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
        archive.writestr("broken.png", b"no image")
    page = many()
    page.set_input_files("#bt-files", packed)
    expect(page.locator(".bt-image img")).to_have_count(4)
    expect(page.locator(".bt-skipped")).to_contain_text("broken.png")
    page.locator(".bt-image").first.hover()
    page.locator(".bt-remove").first.click()
    expect(page.locator(".bt-image")).to_have_count(3)


def test_nothing_to_compare_is_said(many, tmp_path):
    page = many()
    ask(page, "query", "How many?")
    expect(page.locator(".bt-error")).to_contain_text("Choose a folder, images or a zip first")
    (tmp_path / "notes.txt").write_text("words")
    page.set_input_files("#bt-files", tmp_path / "notes.txt")
    expect(page.locator(".bt-error")).to_contain_text("no image")


def test_on_a_phone(many, folder, shoot):
    page = many(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.set_input_files("#bt-folder", folder)
    ask(page, "query", "How many dogs are there?")
    finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shoot(page, "batch-phone")
