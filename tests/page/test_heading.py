"""What a page says of its map, and the colours of its points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gpuvis.page import coloring, columns, palette
from gpuvis.page.heading import Heading, name_of
from gpuvis.quality import report


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("/data/feat_cache_vis/vit-b16_habitats/test/seed3", "vit-b16_habitats / test / seed3"),
        ("/x/feat_cache_vis/vit_digits/val", "vit_digits / val"),
        ("/elsewhere/vit_digits/train/seed12", "vit_digits / train / seed12"),
        ("/home/me/demo", "demo"),
        ("feat_cache_vis", "feat_cache_vis"),
        ("seed1", "seed1"),
        ("/", ""),
    ],
)
def test_a_map_is_named_by_the_folders_of_its_study(folder, name) -> None:
    assert name_of(folder) == name


def test_a_title_has_the_name_and_the_method() -> None:
    assert Heading(name="a / b", caption="t-SNE · 5 × 3").title == "a / b – t-SNE"
    assert Heading(caption="UMAP · 5 × 3").title == "UMAP"


@pytest.mark.parametrize(("recall", "told"), [(0.412, "41 %"), (0.0004, "less than 1 %"), (0.0, "0 %"), (1.0, "100 %")])
def test_the_verdict_is_one_sentence(recall, told) -> None:
    measured = {"metric": "cosine", "cosine": {"original": {}, "map": {"recall": recall}, "pca": {"recall": 0.05}}}
    sentence = f"{told} of each point's nearest neighbours are kept; a plain PCA map keeps 5 %."
    assert report.verdict(measured) == sentence


def contrast(color: str, paper: str) -> float:
    """The contrast of two colours, as WCAG 2.2 defines it."""
    levels = np.array([[int(one[k : k + 2], 16) for k in (1, 3, 5)] for one in (color, paper)]) / 255
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
    return float((light.max() + 0.05) / (light.min() + 0.05))


@pytest.mark.parametrize("paper", ["#ffffff", "#16181c"])
def test_the_first_colours_stand_out_on_both_papers(paper) -> None:
    assert min(contrast(color, paper) for color in palette.colors(palette.CLEAR)) >= 3


def column(name: str, values: list[str]) -> columns.Column:
    return columns.of_table(pd.DataFrame({name: values}, dtype="str"), name)[0]


def test_a_few_extreme_numbers_do_not_leave_one_colour_for_all() -> None:
    numbers = [*np.linspace(0.1, 1, 300), 1e6]
    scale = coloring.Scale.of(column("x", [f"{number:.4f}" for number in numbers]))
    assert (scale.kind, scale.high < 1.1, scale.low > 0.1) == ("high", True, True)
    assert coloring.Scale.of(column("recall", ["0.5", "0.25", "0.75"])).kind == "low"
    assert coloring.Scale.of(column("x", ["0.5"] * 3)).high > 0.5  # no division by zero


def test_numbers_on_both_sides_of_zero_have_two_hues() -> None:
    scale = coloring.Scale.of(column("margin", [f"{number:.3f}" for number in np.linspace(-0.2, 0.8, 400)]))
    assert (scale.kind, scale.low) == ("diverging", -scale.high)
    low, middle, high = (bytes.fromhex(scale.ramp[at][1:]) for at in (0, 127, -1))
    assert low[0] > low[2]
    assert high[2] > high[0]
    assert max(middle) - min(middle) < 8


def test_what_matters_is_dark_and_blanks_lie_below() -> None:
    values = ["", "0.1", "0.9", "", *[f"{number:.3f}" for number in np.linspace(0.1, 0.9, 96)]]
    for name, dark in (("suspicion", 2), ("recall", 1)):
        colored = coloring.of_column(np.zeros((100, 2)), column(name, values))
        assert colored.rgb[dark].sum() < colored.rgb[3 - dark].sum()
        assert set(colored.order[:2].tolist()) == {0, 3}
        assert colored.rgb[0].tolist() == list(bytes.fromhex(coloring.FAINT[1:]))


@pytest.mark.parametrize(("digits", "is_scale"), [(19, False), (16, False), (12, True)])
def test_identifiers_are_no_scale(digits, is_scale) -> None:
    ids = [str(10 ** (digits - 1) + k) for k in range(300)]
    table = pd.DataFrame({"id": ids, "ground_truth_word_label": "a"}, dtype="str")
    assert columns.of_table(table, None)[0].is_scale == is_scale


MORNING = np.datetime64("1969-12-30T06:00:30")
DAYS = [str(MORNING + np.timedelta64(day, "D"))[:10] for day in range(60)]
MINUTES = [str(MORNING + np.timedelta64(minute, "m")) for minute in range(60)]


@pytest.mark.parametrize(
    ("texts", "unit"),
    [
        (DAYS, columns.DAY),
        ([*DAYS, "", ""], columns.DAY),
        ([day.replace("-", "/") for day in DAYS], columns.DAY),
        ([f"{day}T23:59:59.999Z" for day in DAYS], columns.DAY),
        ([f"{day.replace('-', ':')} 07:15:02" for day in DAYS], columns.DAY),  # as cameras write it
        (MINUTES, columns.MINUTE),
        ([f"{minute[:16].replace('T', ' ')}:00+00:00" for minute in MINUTES], columns.MINUTE),
        (DAYS[: palette.CLEAR], 0),  # few days are classes
        ([*DAYS, "2024-02-30"], 0),
        ([*DAYS, "0000:00:00 00:00:00"], 0),
        ([*DAYS, "2024-02/03"], 0),
        ([*DAYS, "2024-02-03 07:15:02+02:00"], 0),  # times of several zones would need their place
        ([*DAYS, "unknown"], 0),
    ],
)
def test_dates_are_on_a_scale(texts, unit) -> None:
    table = pd.DataFrame({"taken": texts}, dtype="str")
    (taken,) = columns.of_table(table, None)
    assert (taken.date_unit, taken.is_scale) == (unit, unit > 0)
    if unit:
        assert np.isnan(taken.numbers).tolist() == [not text for text in texts]
        steps = np.diff(taken.numbers[: palette.CLEAR])
        assert steps.tolist() == [unit] * len(steps), "dates before 1970 are rounded down as well"
        written = DAYS[0] if unit == columns.DAY else "1969-12-30 06:00"
        assert taken.written(taken.numbers[0]) == written
        assert coloring.Scale.of(taken).kind == "high", "1970 is no zero"
