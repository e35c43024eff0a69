"""What is written from the code is in step with it."""

import pytest

from isolation import REPOSITORY
from servegrid import engines
from servegrid.config.reference import config_reference
from servegrid.consult.reference import abilities, columns, images, pages, table, warnings, with_parts
from servegrid.results.columns import POINT_COLUMNS


@pytest.mark.parametrize("name", ["config/README.md", "docs/results.md", "docs/engines.md"])
def test_a_page_is_in_step(name: str) -> None:
    assert (REPOSITORY / name).read_text(encoding="utf-8") == pages(REPOSITORY)[REPOSITORY / name], (
        "run: make reference"
    )


def test_every_key_of_the_config_is_described() -> None:
    assert "|  |" not in config_reference()


@pytest.mark.parametrize("name", POINT_COLUMNS)
def test_a_column_has_one_row(name: str) -> None:
    assert sum(f"`{name}`" in line.split(" | ")[0] for line in columns().splitlines()) == 1


def test_rows_of_columns_have_a_definition_and_latencies_share_theirs() -> None:
    rows = columns().splitlines()[2:]
    assert all(len(row.split(" | ")[-1]) > 10 for row in rows)
    assert sum("`ttft_ms_p" in row.split(" | ")[0] for row in rows) == 1


def test_a_warning_says_more_than_its_name() -> None:
    assert all(len(cell) > 3 for row in warnings().splitlines()[2:] for cell in row.strip("| ").split(" | "))


def test_every_engine_and_every_image_is_there() -> None:
    assert all(f"| `{name}` |" in abilities() for name in engines.names())
    assert all(f"`{image}`" in images() for name in engines.names() for image in engines.get(name).images.values())


def test_a_part_is_put_between_its_comments_and_the_rest_stays() -> None:
    page = "head\n<!-- begin a -->\nold\n<!-- end a -->\nfoot\n"
    once = with_parts(page, {"a": "new"})
    assert once == "head\n<!-- begin a -->\n\nnew\n\n<!-- end a -->\nfoot\n"
    assert with_parts(once, {"a": "new"}) == once


@pytest.mark.parametrize("page", ["", "<!-- begin a -->", "<!-- end a -->", "<!-- end a --><!-- begin a -->"])
def test_a_page_without_the_comments_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="the page has no part a"):
        with_parts(page, {"a": "new"})


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table(("x",), [("a|b",)]).splitlines()[2] == "| a\\|b |"
