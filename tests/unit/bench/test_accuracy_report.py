"""From outcomes to figures, tables and plots; outcomes made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.accuracy import conditions, files
from benchmarks.accuracy.confusion import Confusion, align, confusions
from benchmarks.accuracy.records import (
    ExtraPlate,
    LabelledPicture,
    LabelledPlate,
    Labels,
    Light,
    Measured,
    PlateOutcome,
)
from benchmarks.accuracy.report import FEW, Report, summarise
from benchmarks.accuracy.report_json import as_json
from benchmarks.accuracy.statistics import Share, calibrate
from benchmarks.accuracy.tables import as_markdown
from pipeline.errors import ConfigError, InputError
from pipeline.types import PlateClass

BOX = (20.0, 40.0, 120.0, 72.0)


@pytest.fixture
def picture(tmp_path: Path) -> LabelledPicture:
    path = tmp_path / "图 $1$.png"  # neither Chinese nor a formula may disturb the plots
    image = np.random.default_rng(1).integers(0, 255, (160, 200, 3), np.uint8)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return LabelledPicture(path, path.name, (), complete=True, subset="gate")


def outcome(
    picture: LabelledPicture,
    truth: str | None = "辽A12345",
    text: str | None = "辽A12345",
    probability: float = 0.9,
    found: bool | None = True,
    **more: object,
) -> PlateOutcome:
    plate = LabelledPlate(truth, BOX, None, "blue", PlateClass.BLUE)
    return PlateOutcome(
        picture,
        plate,
        found,
        text,
        probability if text else 0.0,
        PlateClass.BLUE if found else None,
        conditions.box_corners(BOX),
        **{"light": Light.DAY, "width_px": 100.0, "blur": 500.0, **more},
    )


def report(
    *plates: PlateOutcome, extras: tuple[ExtraPlate, ...] = (), crops: bool = False
) -> Report:
    pictures = len({o.picture.path for o in plates} | {e.picture.path for e in extras})
    return summarise(
        Labels(Path("here"), "frames", (), crops),
        Measured(pictures, pictures, plates, extras),
        recogniser="test",
    )


def test_shares_count_what_the_words_say(picture: LabelledPicture) -> None:
    made = report(
        outcome(picture),
        outcome(picture, text="辽A12346"),
        outcome(picture, text=None),
        outcome(picture, text=None, found=False),
        outcome(picture, truth=None),
    )
    assert made.found == Share(4, 5)
    assert made.read == Share(1, 4)  # over all with a text, found or not
    assert made.characters == Share(13, 14)
    assert made.calibration.right == Share(1, 2)


def test_wilson_interval_of_a_textbook() -> None:
    low, high = Share(8, 10).interval()
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    assert Share(8, 10).percent() == "80.0 %"
    assert Share(8, 10).range() == "49.0–94.3"
    assert Share(0, 0).percent() == "–"


def test_calibration_error_of_probabilities_that_hold_and_do_not() -> None:
    holds = calibrate([0.75] * 400, [True] * 300 + [False] * 100)
    assert holds.error == pytest.approx(0)
    assert len(holds.bins) == 1  # equal probabilities stay together
    doubts = calibrate([0.6] * 100 + [0.99] * 100, [True] * 200)
    assert doubts.error == pytest.approx((0.4 + 0.01) / 2)
    assert doubts.sure == Share(100, 100)


def test_few_reads_make_few_bins() -> None:
    probabilities = np.linspace(0.5, 1, 47).tolist()
    assert len(calibrate(probabilities, [True] * 47).bins) == 2
    assert calibrate([], []).error is None


@pytest.mark.parametrize(
    ("truth", "read", "pairs"),
    [
        ("AB8", "ABB", [("A", "A"), ("B", "B"), ("8", "B")]),
        ("AD123", "D123", [("A", ""), ("D", "D"), ("1", "1"), ("2", "2"), ("3", "3")]),
        ("A12", "A172", [("A", "A"), ("1", "1"), ("", "7"), ("2", "2")]),
        ("ABC", "BCA", [("A", "B"), ("B", "C"), ("C", "A")]),  # by place: equally long
        ("", "A", [("", "A")]),
    ],
)
def test_alignment(truth: str, read: str, pairs: list[tuple[str, str]]) -> None:
    assert align(truth, read) == pairs


def test_confusions_are_counted_most_frequent_first() -> None:
    texts = [("辽A88888", "辽A8888B"), ("辽A12348", "辽A1234B"), ("辽A00000", "皖A00000")]
    texts.append(("辽A12345", "皖B98761"))  # another plate, no confusion of characters
    assert confusions(texts) == (Confusion("8", "B", 2), Confusion("辽", "皖", 1))


def test_breakdowns_show_small_groups_together(picture: LabelledPicture) -> None:
    plates = [outcome(picture, f"辽A1234{i}", f"辽A1234{i}") for i in range(FEW)]
    plates += [outcome(picture, f"{p}A12345", "辽A12345") for p in "皖京沪"]
    made = report(*plates)
    provinces = next(b for b in made.breakdowns if b.name == "province")
    assert [(row.group, row.plates) for row in provinces.rows] == [
        ("辽", FEW),
        ("京", 1),
        ("沪", 1),
        ("皖", 1),
    ]
    assert [(row.group, row.plates, row.read) for row in provinces.shown()] == [
        ("辽", FEW, Share(FEW, FEW)),
        ("few each: 京 沪 皖", 3, Share(0, 3)),
    ]


def test_widths_and_blur_are_ordered_bands(picture: LabelledPicture) -> None:
    sizes = [30, 59.9, 60, 150, 500, 70, 85, 90]
    made = report(
        *(outcome(picture, width_px=float(w), blur=float(k)) for k, w in enumerate(sizes))
    )
    by_name = {b.name: b for b in made.breakdowns}
    widths = [(row.group, row.plates) for row in by_name["plate width"].rows]
    assert widths == [
        ("under 40 px", 1),
        ("40–60 px", 1),
        ("60–80 px", 2),
        ("80–100 px", 2),
        ("140–200 px", 1),
        ("from 200 px", 1),
    ]
    assert [row.plates for row in by_name["blur"].rows] == [2, 2, 2, 2]
    assert by_name["blur"].rows[0].group.startswith("most blurred")


def test_false_plates(picture: LabelledPicture, tmp_path: Path) -> None:
    other = replace(picture, path=tmp_path / "b.png")
    extras = (
        ExtraPlate(picture, "辽A12345", 0.99),
        ExtraPlate(picture, "辽A12346", 0.5),
        ExtraPlate(other, None, 0.0),
    )
    false = report(extras=extras).false_plates
    assert (false.texts, false.sure, false.unread) == (2, 1, 1)
    assert false.with_text == Share(1, 2)
    assert false.rate() == 200


def test_the_worst_come_first(picture: LabelledPicture) -> None:
    unsure = outcome(picture, text="辽A12346", probability=0.4)
    sure = outcome(picture, text="辽A12346", probability=0.97)
    false = ExtraPlate(picture, "辽B54321", 0.8)
    unread = outcome(picture, text=None)
    missed = outcome(picture, text=None, found=False)
    made = report(outcome(picture), missed, unread, unsure, sure, extras=(false,))
    assert made.worst == (sure, false, unsure, unread, missed)


def test_night_is_a_dark_road_whatever_stands_on_it() -> None:
    night = np.full((300, 400, 3), 12, np.uint8)
    night[50:250, 100:250] = 230  # a white van in the flash
    assert conditions.light(night) is Light.NIGHT
    assert conditions.light(np.full((300, 400, 3), 60, np.uint8)) is Light.DAY
    assert conditions.light(np.zeros((1, 1, 3), np.uint8)) is Light.NIGHT


def test_blur_falls_with_sharpness() -> None:
    sharp = np.random.default_rng(0).integers(0, 255, (48, 168, 3), np.uint8)
    corners = conditions.outline(sharp)
    values = [conditions.blur(cv2.GaussianBlur(sharp, (0, 0), s), corners) for s in (0.5, 1, 3)]
    assert values == sorted(values, reverse=True)
    assert conditions.blur(sharp, corners) > values[0]


def test_the_width_of_a_tilted_plate_is_measured_along_it() -> None:
    corners = np.array([[0, 0], [30, 40], [26, 43], [-4, 3]], np.float32)
    assert conditions.width_px(corners) == pytest.approx(50)


def test_json_has_null_for_what_is_not_known(picture: LabelledPicture) -> None:
    made = as_json(report(outcome(picture, found=None, text=None), crops=True))
    assert json.loads(json.dumps(made)) == made
    assert made["found"] is None
    assert made["calibration"]["mean_probability"] is None
    assert made["timing"] is None
    assert made["by"]["plate_class"]["groups"][0]["found"] is None
    assert made["worst"][0]["read"] is None


def test_markdown_names_groups_confusions_and_failures(picture: LabelledPicture) -> None:
    made = report(outcome(picture), outcome(picture, text="皖A12345"))
    made = replace(made, failures=tuple(f"{n}.jpg: no such file" for n in range(25)))
    text = as_markdown(made, [("shares.png", "Shares")], None)
    assert "| **read** | 50.0 % |" in text
    assert "| 辽 | 皖 | 1 |" in text
    assert "![Shares](shares.png)" in text
    assert "19.jpg: no such file" in text
    assert "… and 5 more like these" in text


@pytest.fixture
def everything(picture: LabelledPicture) -> Report:
    plates = [outcome(picture, f"辽A1234{i % 10}", "辽A12340", 0.5 + i / 100) for i in range(40)]
    plates += [outcome(picture, text=None, found=False), outcome(picture, truth=None, text=None)]
    nowhere = replace(plates[0], corners=None, found=False, text=None)
    gone = replace(plates[1], picture=replace(picture, path=Path("gone.png")))
    return report(*plates, nowhere, gone, extras=(ExtraPlate(picture, "粤Z1234港", 0.9),))


def test_all_pictures_are_drawn_without_a_chinese_font(
    everything: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.accuracy import lettering

    monkeypatch.setattr(lettering, "find", lambda _: lettering.Lettering(None))
    files.write(everything, tmp_path / "out")
    drawn = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert drawn == {"shares.png", "reliability.png", "confusions.png", "worst.png"}
    for name in drawn:
        image = cv2.imread(str(tmp_path / "out" / name))
        assert image is not None
        assert image.std() > 5


def test_a_later_run_leaves_no_plot_of_an_earlier_one(
    everything: Report, picture: LabelledPicture, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    files.write(everything, tmp_path / "out")
    files.write(report(outcome(picture)), tmp_path / "out")
    assert not (tmp_path / "out" / "worst.png").exists()
    assert "worst.png" not in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_provinces_are_spelled_where_no_font_has_them() -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.accuracy.lettering import Lettering

    latin = Lettering(None)
    assert latin.text("皖A12345") == "Anhui-A12345"
    assert latin.text("京A1234警") == "Beijing-A1234-jing"
    assert latin.text("few each: 京 沪") == "few each: Beijing Shanghai"
    assert latin.text("图/1.jpg") == "?/1.jpg"
    assert Lettering("Some Font").text("皖A12345") == "皖A12345"


def test_a_font_that_lacks_the_characters_is_refused(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    from benchmarks.accuracy import lettering

    latin = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    with pytest.raises(ConfigError, match="lacks Chinese characters"):
        lettering.find(latin)
    (tmp_path / "no.ttf").write_bytes(b"no font")
    with pytest.raises(ConfigError, match="cannot be used as a font"):
        lettering.find(tmp_path / "no.ttf")
    with pytest.raises(ConfigError, match="cannot be used as a font"):
        lettering.find(tmp_path / "absent.ttf")


def test_a_folder_that_cannot_be_written(everything: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(InputError, match=r"file/out: cannot be written: Not a directory"):
        files.write(everything, tmp_path / "file" / "out")
