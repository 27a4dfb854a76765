"""Values as CSV files, SQL rows and data frames give them."""

from __future__ import annotations

import csv
import io
import math
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_happyhorse.api.models import VideoRequest
from airflow_provider_happyhorse.api.reading import read_request
from airflow_provider_happyhorse.api.table_values import is_unset
from tests.api.answers import problems_of, request_of

URL = "https://x.example/a.png"


class Scalar:
    """What a numpy scalar or array looks like from outside."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def tolist(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return f"Scalar({self.value})"


class NAType:
    """What pandas.NA looks like from outside."""

    def __repr__(self) -> str:
        return "<NA>"


class NaTType:
    """What pandas.NaT looks like from outside."""

    def __repr__(self) -> str:
        return "NaT"


EMPTY: list[Any] = [
    "",
    " \t\n",
    None,
    math.nan,
    Decimal("NaN"),
    Decimal("sNaN"),
    NAType(),
    NaTType(),
    Scalar(math.nan),
    [],
    (),
    [None, ""],
    Scalar([]),
]


@pytest.mark.parametrize("cell", EMPTY, ids=str)
@pytest.mark.parametrize("name", ["prompt", "duration", "sound", "image_urls", "multi_prompt", "sku"])
def test_an_empty_cell_is_no_value(cell: Any, name: str) -> None:
    assert request_of(**{name: cell}).given() == {}


@pytest.mark.parametrize("cell", [0, 0.0, False, "0", "None", "nan", [[]], [0], {}, Decimal(0)], ids=str)
def test_zero_and_false_are_values(cell: Any) -> None:
    assert not is_unset(cell)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (5, 5),
        ("5", 5),
        (" 5 ", 5),
        (5.0, 5),
        ("5.0", 5),
        ("5.5", 5.5),
        (5.5, 5.5),
        (Decimal(5), 5),
        (Decimal("5.00"), 5),
        (Decimal("5.5"), 5.5),
        ("0.5", 0.5),
        ("1e1", 10),
        ("-1", -1),
        (Scalar(5), 5),
        (Scalar(5.5), 5.5),
        (10**9, 10**9),
    ],
    ids=str,
)
def test_numbers(cell: Any, value: float) -> None:
    given = request_of(duration=cell).given()
    assert given == {"duration": value}
    assert type(given["duration"]) is type(value)


@pytest.mark.parametrize(
    "cell",
    [
        *["five", "nan", "inf", "1e400", "1e1000000", "-1e1000000", "5,5", "5 s", "1_5", "0x5", "9" * 5000],
        *[True, False, math.inf, -math.inf, 10**9 + 1, 10**5000, Decimal("Infinity")],
        *[[5], {"s": 5}, b"5", Scalar(True), Scalar([1, 2]), object],
    ],
    ids=lambda cell: str(type(cell).__name__),
)
def test_what_is_no_number(cell: Any) -> None:
    (problem,) = problems_of(duration=cell)
    assert problem.startswith("`duration` must be a number")
    assert len(problem) < 130


@pytest.mark.parametrize("cell", [True, 1, 1.0, "true", "True", " TRUE ", "yes", "y", "on", "1", "1.0", Decimal(1), Scalar(True)], ids=str)
def test_true(cell: Any) -> None:
    assert request_of(sound=cell).given() == {"sound": True}


@pytest.mark.parametrize("cell", [False, 0, 0.0, "false", "False", "no", "n", "off", "0", "0.0", Decimal("0.00"), Scalar(False)], ids=str)
def test_false(cell: Any) -> None:
    assert request_of(sound=cell).given() == {"sound": False}


@pytest.mark.parametrize(
    "cell", ["maybe", "t", "2", 2, -1, 0.5, ["true"], {}, "true false", 10**5000], ids=lambda cell: str(type(cell).__name__)
)
def test_what_is_neither_true_nor_false(cell: Any) -> None:
    (problem,) = problems_of(sound=cell)
    assert problem.startswith("`sound` must be true or false, not ")


@pytest.mark.parametrize("cell", [3, 3.0, True, Decimal(3), b"bytes", ["a"], {"a": 1}, Scalar(3)], ids=str)
def test_a_prompt_is_text(cell: Any) -> None:
    (problem,) = problems_of(prompt=cell)
    assert problem.startswith("`prompt` must be text, not ")


def test_text_is_sent_as_it_was_written() -> None:
    prompt = "  {{ not.jinja }}  \n“Überraschung” \U0001f40e 馬 "
    assert request_of(prompt=prompt).given() == {"prompt": prompt}


def test_half_an_emoji_is_refused_before_it_breaks_a_log_or_a_database() -> None:
    assert problems_of(prompt="cut \ud83d") == ["`prompt` holds half of a character (a lone surrogate): 'cut \\ud83d'"]


@pytest.mark.parametrize(
    ("cell", "urls"),
    [
        (URL, [URL]),
        (f" {URL} ", [URL]),
        ([URL, URL], [URL, URL]),
        ((URL,), [URL]),
        (f'["{URL}", "{URL}"]', [URL, URL]),
        (f' ["{URL}"] ', [URL]),
        ([URL, ""], [URL]),
        ([URL, None, math.nan], [URL]),
        (f'["{URL}", null]', [URL]),
        (Scalar([URL, URL]), [URL, URL]),
    ],
    ids=str,
)
def test_lists_of_urls(cell: Any, urls: list[str]) -> None:
    assert request_of(image_urls=cell).given() == {"image_urls": urls}


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("[oops", "`image_urls` must be a JSON array, not '[oops'"),
        ("[" * 100_000, "`image_urls` must be a JSON array, not '" + "[" * 56 + "..."),
        (5, "`image_urls` must be a list of texts, not 5"),
        ({"a": 1}, "`image_urls` must be a list of texts, not {'a': 1}"),
        ([None, URL], "`image_urls[0]` must be text, not None"),
        ([5], "`image_urls[0]` must be text, not 5"),
    ],
    ids=lambda cell: str(cell)[:20],
)
def test_what_is_no_list_of_urls(cell: Any, problem: str) -> None:
    assert problems_of(image_urls=cell) == [problem]


def test_shots_and_elements_may_come_as_json_in_a_cell() -> None:
    cell = '[{"prompt": "a", "duration": "3"}, {"prompt": "b", "duration": 4.0}]'
    assert request_of(multi_prompt=cell).given() == {"multi_prompt": [{"prompt": "a", "duration": 3}, {"prompt": "b", "duration": 4}]}
    cell = f'[{{"name": "dog", "description": "d", "element_input_urls": ["{URL}", "{URL}"]}}]'
    assert request_of(happyhorse_elements=cell).given()["happyhorse_elements"][0]["element_input_urls"] == [URL, URL]


@pytest.mark.parametrize(
    ("cell", "problems"),
    [
        ('{"prompt": "a"}', ['`multi_prompt` must be a JSON array, not \'{"prompt": "a"}\'']),
        ("a woman walks", ["`multi_prompt` must be a JSON array, not 'a woman walks'"]),
        (3, ["`multi_prompt` must be a list of objects, not 3"]),
        (["a"], ["`multi_prompt[0]` must be an object with the documented fields"]),
        ([{"prompt": "a"}], ["`multi_prompt[0].duration` is missing"]),
        ([{"prompt": "", "duration": 3}], ["`multi_prompt[0].prompt` is missing"]),
        ([{"prompt": "a", "duration": 3, "\x1f": 1}], ["`multi_prompt[0].\\x1f` is not a field of either service"]),
        ([{"prompt": "a", "duration": 3, "sound": True}], ["`multi_prompt[0].sound` is not a field of either service"]),
    ],
    ids=str,
)
def test_what_is_no_list_of_shots(cell: Any, problems: list[str]) -> None:
    assert problems_of(multi_prompt=cell) == problems


def test_every_problem_of_a_row_is_named() -> None:
    assert problems_of(prompt=3, duration="five", sound="maybe", sku="shoe-01", promt="x", seed=7) == [
        "`prompt` must be text, not 3",
        "`duration` must be a number of at most 10^9, not 'five'",
        "`sound` must be true or false, not 'maybe'",
        "`sku` is not a field of either service; if it says which clip this is, put it in `name`",
        "`promt` is not a field of either service; is `prompt` meant?",
        "`seed` is not a field of either service; if it says which clip this is, put it in `name`",
    ]


def test_a_row_with_too_many_cells_is_explained() -> None:
    rows = list(csv.DictReader(io.StringIO("prompt,duration\na cat, dog and bird,5\na cat,5,,\n")))
    surplus, trailing_commas = (read_request(row, VideoRequest) for row in rows)
    assert surplus[0] is None
    assert "the row has more cells than the table has columns; an unquoted comma in a text does this" in surplus[1]
    assert trailing_commas[0] is not None
    assert trailing_commas[0].given() == {"prompt": "a cat", "duration": 5}


@pytest.mark.parametrize("name", [1, 1.5, ("a", "b"), b"prompt", "\ud800", "a\x00b", "a\nb"], ids=repr)
def test_a_name_that_is_none_is_explained(name: Any) -> None:
    request, problems = read_request({name: "x", "prompt": "a"}, VideoRequest)
    assert request is None
    assert len(problems) == 1
    assert problems[0].startswith("a field's name must be printable text, not ")
    assert problems[0].isprintable()


def test_numpy_scalars_and_arrays_if_numpy_is_there() -> None:
    numpy = pytest.importorskip("numpy")
    row = {"prompt": numpy.str_("a"), "duration": numpy.int64(5), "cfg_scale": numpy.float32(0.5), "sound": numpy.bool_(False)}
    read = request_of(**row, image_urls=numpy.array([URL]), mode=numpy.float64("nan"), resolution=numpy.float32("nan"))
    assert read.given() == {"prompt": "a", "duration": 5, "cfg_scale": 0.5, "sound": False, "image_urls": [URL]}
