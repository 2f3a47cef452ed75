"""Dagster's pages of our assets, in a real browser.

The README's pictures are made by these tests, into the folder that OUTREACH_PICTURES names:

    OUTREACH_PICTURES=docs/images .venv/bin/pytest -n0 tests/end_to_end/test_pages.py
"""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect, sync_playwright

from outreach_assets.assets.chain import sources
from tests.end_to_end.conftest import CHAIN, Backfilled
from tests.must_test import program_or_skip
from tests.servers.outreach_dev import OutreachDev

pytestmark = [
    pytest.mark.xdist_group("dagster"),
    pytest.mark.chromium,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

SOURCES = [spec.key.to_user_string() for spec in sources()]
GROUPS = ("neon", "extract", "validate", "export", "upload", "record")
FLAGS = """
    --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync
""".split()
PATIENCE_MS = 60_000
ROUND_MARGIN = 20
BESIDE_THE_JOURNEY = {"duckdb/verdict_changes", "neon/validation_failures_log"}
"""Of the chain, and not where a row goes on its way to the bucket."""


@pytest.fixture
def page(dev: OutreachDev, tmp_path: Path) -> Iterator[Page]:
    chromium = program_or_skip("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=chromium,
            args=FLAGS,
            base_url=f"http://127.0.0.1:{dev.port}",
            viewport={"width": 1600, "height": 760},
        )
        browser.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield browser.pages[0]
        browser.close()


def picture(page: Page, name: str, around: Locator | None = None) -> None:
    """Into the README's folder, when somebody asked for it; the whole page, or around these."""
    folder = os.environ.get("OUTREACH_PICTURES")
    if folder:
        page.wait_for_load_state("networkidle")
        Path(folder).mkdir(parents=True, exist_ok=True)
        clip = frame_of(around) if around else None
        page.screenshot(path=Path(folder) / f"{name}.png", clip=clip)


def frame_of(nodes: Locator) -> FloatRect:
    """All of them, and a margin."""
    boxes = [box for node in nodes.all() if (box := node.bounding_box())]
    left, top = (min(box[side] for box in boxes) - ROUND_MARGIN for side in ("x", "y"))
    right = max(box["x"] + box["width"] for box in boxes) + ROUND_MARGIN
    bottom = max(box["y"] + box["height"] for box in boxes) + ROUND_MARGIN
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def test_the_graph_shows_the_journey_of_a_row(page: Page, every_state: Backfilled) -> None:
    page.set_viewport_size({"width": 2300, "height": 820})
    journey = [key for key in [*SOURCES, *CHAIN] if key not in BESIDE_THE_JOURNEY]
    selection = " or ".join(f'key:"{key}"' for key in journey)
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    # Dagster draws what is in sight alone, and all assets together are more than that.
    page.goto(f"/asset-groups~{quote(selection, safe='')}?expanded={expanded}")
    nodes = page.locator("foreignObject")
    for key in journey:
        name = nodes.get_by_text(key.split("/")[1], exact=True)
        expect(name.first).to_be_in_viewport()
    picture(page, "asset_graph", nodes)


def test_a_state_of_an_asset_shows_its_reasons(page: Page, every_state: Backfilled) -> None:
    page.goto("/assets/duckdb/people_bad?view=partitions&partition=WV")
    for shown in ("dagster/partition_row_count", "email_invalid", "title_missing"):
        expect(page.get_by_text(shown, exact=True)).to_be_visible()
    picture(page, "asset_page")


def test_a_file_shows_its_first_rows_masked(page: Page, every_state: Backfilled) -> None:
    page.goto("/assets/parquet/people_good?view=partitions&partition=WV")
    page.get_by_text("[Show Markdown]").click()
    expect(page.locator("table").get_by_text("•••@").first).to_be_visible()


def test_an_asset_explains_its_columns(page: Page, every_state: Backfilled) -> None:
    page.goto("/assets/b2/people_bad?view=overview")
    for shown in ("validation_errors", "Every rule the row broke", "Their email address"):
        expect(page.get_by_text(shown, exact=True).first).to_be_visible()


def test_a_backfill_shows_how_far_each_asset_is(page: Page, every_state: Backfilled) -> None:
    page.goto(f"/runs/b/{every_state.backfill}")
    expect(page.get_by_text("100% completed")).to_have_count(len(CHAIN))
