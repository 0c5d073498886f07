"""Files as people and spreadsheets make them, and as nobody should."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook

from pipeline.errors import InputError
from tests.support.watchlists import entry
from watchlist import sheets
from watchlist.entry import make_entry
from watchlist.sheets import (
    Row,
    count_lines,
    encoding_of,
    is_workbook,
    read_rows,
    write_csv,
    write_workbook,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HEADER = "车牌,布控类别,处置措施,布控原因,案件编号,审批人,有效期至"
ROW = "辽A12345,被盗抢,拦截检查,车主报案,C-1,王警官,2026-12-31"


def rows_of(tmp_path: Path, content: str | bytes) -> list[Row]:
    path = tmp_path / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_rows(path, NOW))


def workbook(tmp_path: Path, rows: list[list[Any]], name: str = "list.xlsx") -> Path:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    book.create_sheet("another").append(["nothing", "of ours"])
    book.save(tmp_path / name)
    return tmp_path / name


def test_a_workbook_reads_like_the_same_csv(tmp_path: Path) -> None:
    cells: list[Any] = ROW.split(",")
    path = workbook(
        tmp_path,
        [
            [*HEADER.split(","), None],
            cells,
            [],
            [*cells[:4], 20260017.0, "王警官", datetime(2026, 12, 31)],
            [*cells[:4], 17, "王警官", date(2026, 12, 31), None, None],
            [*cells[:6], datetime(2026, 12, 31, 18, 30)],
        ],
    )
    assert is_workbook(path)
    assert count_lines(path) is None
    rows = list(read_rows(path, NOW))
    assert [(row.line, row.refusal) for row in rows] == [(2, None), (4, None), (5, None), (6, None)]
    (same,) = rows_of(tmp_path, f"{HEADER}\n{ROW}\n")
    assert rows[0].fields == same.fields
    assert [row.fields["case_number"] for row in rows] == ["C-1", "20260017", "17", "C-1"]
    assert rows[1].fields["expires_at"] == rows[2].fields["expires_at"] == same.fields["expires_at"]
    assert rows[3].fields["expires_at"] < same.fields["expires_at"]  # type: ignore[operator]
    for row in rows:
        make_entry(row.fields, NOW)


def test_a_row_of_a_workbook_with_too_much_is_refused(tmp_path: Path) -> None:
    cells: list[Any] = ROW.split(",")
    path = workbook(tmp_path, [HEADER.split(","), [*cells, "more"], cells[:3], ["x" * 20_000]])
    rows = list(read_rows(path, NOW))
    assert rows[0].refusal == "has 8 cells, the header has 7"
    assert rows[1].refusal is None  # the form will name what is missing
    assert rows[2].refusal == "a cell is too long"


def test_a_formula_in_a_workbook_counts_as_what_it_showed(tmp_path: Path) -> None:
    path = workbook(tmp_path, [HEADER.split(","), [*ROW.split(",")[:6], "=TODAY()+30"]])
    (row,) = read_rows(path, NOW)
    assert "expires_at" not in row.fields  # nobody has computed it, so nothing is taken over


def damaged(tmp_path: Path, how: str) -> Path:
    path = workbook(tmp_path, [HEADER.split(","), ROW.split(",")])
    whole = path.read_bytes()
    match how:
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "empty zip":
            with zipfile.ZipFile(path, "w") as packed:
                packed.writestr("readme.txt", "no workbook")
        case "broken sheet":
            with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(path, "w") as new:
                for name in old.namelist():
                    text = old.read(name)
                    new.writestr(name, text[:-40] if "sheet1.xml" in name else text)
        case "random":
            path.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 8)
    return path


@pytest.mark.parametrize("how", ["cut", "empty zip", "broken sheet", "random"])
def test_a_damaged_workbook_is_refused_in_words(tmp_path: Path, how: str) -> None:
    path = damaged(tmp_path, how)
    with pytest.raises(InputError, match=r"list\.xlsx: .*save the sheet as CSV"):
        list(read_rows(path, NOW))


def test_a_workbook_that_unpacks_to_more_than_this_machine_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workbook(tmp_path, [HEADER.split(","), *[["x"] * 7] * 500])
    monkeypatch.setattr(sheets, "_LARGEST_WORKBOOK", 20_000)
    with pytest.raises(InputError, match="is too large unpacked"):
        list(read_rows(path, NOW))


def test_an_empty_workbook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is empty|no column"):
        list(read_rows(workbook(tmp_path, []), NOW))


def test_old_excel_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no CSV; save the sheet as CSV \(UTF-8\) or as .xlsx"):
        rows_of(tmp_path, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100))


@pytest.mark.parametrize(
    "lines",
    [
        (HEADER.encode(), ROW.encode("gb18030")),
        (HEADER.encode("gb18030"), ROW.encode()),
        (HEADER.encode("gb18030"), ROW.encode("gb18030"), ROW.encode()),
        (b"plate,category", ROW.encode(), ROW.encode("gb18030")),
    ],
)
def test_mixed_encodings_are_named_with_their_lines(
    tmp_path: Path, lines: tuple[bytes, ...]
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(InputError, match=r"mixes encodings: line \d is UTF-8, line \d is not"):
        encoding_of(path)


def test_long_lists_in_either_encoding_are_not_called_mixed(tmp_path: Path) -> None:
    lines = [HEADER, *(ROW.replace("12345", f"{n:05}") for n in range(3000))]
    for encoding, found in (("utf-8", "utf-8-sig"), ("gb18030", "gb18030")):
        path = tmp_path / "list.csv"
        path.write_bytes("\n".join(lines).encode(encoding))
        assert encoding_of(path) == found
        assert count_lines(path) == 3000


def test_what_is_valid_in_both_encodings_is_read_as_what_makes_sense(tmp_path: Path) -> None:
    header = "plate,category,disposition,reason,case,authoriser,expires"
    embassy = f"{header}\n000001使,stolen,stop,reported,C-1,Wang,+30d\n"
    accent = f"{header}\nWJ12345,stolen,stop,reported,C-1,José,+30d\n"
    army = f"{header}\nWJ12345,stolen,stop,被盗的机动,C-1,Wang,+30d\n"
    for content, encoding in (
        (embassy, "gb18030"),
        (embassy, "utf-8"),
        (accent, "utf-8"),
        (army, "utf-8"),
        (army, "gb18030"),
    ):
        (row,) = rows_of(tmp_path, content.encode(encoding))
        cells = content.split("\n")[1].split(",")
        assert [row.fields[name] for name in ("plate", "reason", "authoriser")] == [
            cells[at] for at in (0, 3, 5)
        ]


@pytest.mark.parametrize(
    ("plate", "said"),
    [
        ("辽А12345", "CYRILLIC CAPITAL LETTER A"),
        ("辽AO2345", "form of no plate"),
        ("辽A1234I", "form of no plate"),
        ("辽Α12345", "GREEK CAPITAL LETTER ALPHA"),
        ("辽A12\x0045", "U\\+0000"),
        ("辽A12\u202e45", "RIGHT-TO-LEFT OVERRIDE"),
        ("=1+1", "form of no plate|stands on no plate"),
        ("辽A" + "1" * 9000, "at most 64"),
    ],
)
def test_plates_that_only_look_like_one_are_refused_by_name(
    tmp_path: Path, plate: str, said: str
) -> None:
    (row,) = rows_of(tmp_path, f"{HEADER}\n{ROW.replace('辽A12345', plate)}\n")
    assert row.refusal is None
    with pytest.raises(Exception, match=f"plate.*{said}"):
        make_entry(row.fields, NOW)


@pytest.mark.parametrize("plate", ["辽Ａ１２３４５", "辽a·12345", "\u3000辽A 12345 ", "辽A-12345"])
def test_every_way_to_write_a_plate_is_understood(tmp_path: Path, plate: str) -> None:
    (row,) = rows_of(tmp_path, f"{HEADER}\n{ROW.replace('辽A12345', plate)}\n")
    assert make_entry(row.fields, NOW).plate == "辽A12345"


def test_control_characters_are_refused_and_wide_ones_kept(tmp_path: Path) -> None:
    (bell,) = rows_of(tmp_path, f"{HEADER}\n{ROW}\n".replace("车主报案", "车主\x07报案"))
    with pytest.raises(Exception, match=r"reason: holds a control character \(U\+0007\)"):
        make_entry(bell.fields, NOW)
    said = "（ＡＢ）\u3000报案"
    (wide,) = rows_of(tmp_path, f"{HEADER}\n{ROW}\n".replace("车主报案", said))
    assert make_entry(wide.fields, NOW).reason == said


def test_a_field_of_ten_megabytes_is_one_bad_row(tmp_path: Path) -> None:
    large = ROW.replace("车主报案", "x" * 10_000_000)
    rows = rows_of(tmp_path, f"{HEADER}\n{ROW}\n{large}\n{ROW}\n")
    assert [row.refusal is None for row in rows] == [True, False, True]
    assert "field larger than field limit" in (rows[1].refusal or "")


def test_an_open_quote_is_said_with_its_line(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, f'{HEADER}\n{ROW}\n"{ROW}\n{ROW}\n')
    assert [(row.line, row.refusal is None) for row in rows] == [(2, True), (3, False)]


def test_what_a_workbook_exports_comes_back(tmp_path: Path) -> None:
    listed = [
        entry("辽A12345", now=NOW, source="=HYPERLINK(1)", audience=("north", "south")),
        entry("京AD12345", now=NOW, requester="'quoted", reason="＝1+1", vehicle_colour="white"),
        entry("辽A1234警", now=NOW, reason="@cmd", case_number="007"),
        entry("辽A?23??", now=NOW, reason="-x"),
    ]
    path = tmp_path / "out.xlsx"
    assert write_workbook(listed, path) == 4
    sheet = load_workbook(path).worksheets[0]
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert not [cell for cell in cells if cell.data_type == "f"]
    assert not [cell for cell in cells if str(cell.value).startswith(("=", "+", "-", "@"))]
    back = []
    for row in read_rows(path, NOW):
        fields = dict(row.fields)
        back.append(make_entry(fields, NOW, entry_id=str(fields.pop("id"))))
    assert back == listed
    text = io.StringIO()
    write_csv(listed, text)
    assert [row.fields for row in rows_of(tmp_path, text.getvalue())] == [
        row.fields for row in read_rows(path, NOW)
    ]


def test_progress_follows_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    lines = [ROW.replace("12345", f"{n:05}") for n in range(1000)]
    path.write_text("\n".join([HEADER, *lines]), encoding="utf-8")
    told: list[int] = []
    assert len(list(read_rows(path, NOW, told.append))) == 1000
    assert told == sorted(told)
    assert 900 < told[-1] <= 1001


def test_dates_are_moments_of_the_import(tmp_path: Path) -> None:
    content = f"{HEADER}\n{ROW.replace('2026-12-31', '+30d')}\n"
    (first,) = rows_of(tmp_path, content)
    path = tmp_path / "list.csv"
    (later,) = read_rows(path, NOW + timedelta(days=1))
    assert later.fields["expires_at"] - first.fields["expires_at"] == timedelta(days=1)  # type: ignore[operator]
