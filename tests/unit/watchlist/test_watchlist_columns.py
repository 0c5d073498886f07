from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from pipeline.errors import InputError
from watchlist.columns import COLUMNS, columns_of, parse_cell, parse_when
from watchlist.sheets import encoding_of, guard, read_rows, unguard

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHINA = timezone(timedelta(hours=8))
ENGLISH = "plate,category,disposition,reason,case number,authorizer,expires"
CHINESE = "号牌号码,布控类别,处置措施,布控原因,案件编号,审批人,有效期至"


def test_headers_in_both_languages() -> None:
    expected = (
        "plate",
        "category",
        "disposition",
        "reason",
        "case_number",
        "authoriser",
        "expires_at",
    )
    assert columns_of(ENGLISH.split(",")) == expected
    assert columns_of(CHINESE.split(",")) == expected
    assert columns_of([name.upper().replace("_", " ") for name in COLUMNS]) == COLUMNS


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (ENGLISH + ",shoe size", "unknown column 'shoe size'"),
        (ENGLISH + ",车牌", "says plate a second time"),
        ("plate,category", "no column for disposition, reason"),
        ("", "no column|unknown column"),
    ],
)
def test_a_wrong_header_is_named(header: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        columns_of(header.split(","))


def test_values_in_both_languages() -> None:
    assert parse_cell("category", "被盗抢", NOW) == "stolen"
    assert parse_cell("category", "Missing Person", NOW) == "missing_person"
    assert parse_cell("vehicle_colour", "白色", NOW) == "white"
    assert parse_cell("vehicle_class", "面包车", NOW) == "van"
    assert parse_cell("plate_class", "小型新能源汽车", NOW) == "green_small"
    assert parse_cell("plate_class", "nonsense", NOW) == "nonsense"  # refused by the form
    assert parse_cell("audience", "north；south; ", NOW) == ("north", "south")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("+30d", NOW + timedelta(days=30)),
        ("+12h", NOW + timedelta(hours=12)),
        ("2026-12-31", datetime(2027, 1, 1, tzinfo=CHINA)),
        ("2026/12/31", datetime(2027, 1, 1, tzinfo=CHINA)),
        ("2026/1/5 18:30", datetime(2026, 1, 5, 18, 30, tzinfo=CHINA)),
        ("2026-12-31T10:00:00Z", datetime(2026, 12, 31, 10, tzinfo=UTC)),
        ("2026-12-31T10:00:00+09:00", datetime(2026, 12, 31, 1, tzinfo=UTC)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert parse_when(text, NOW, end_of_day=True, zone=CHINA) == moment


def test_a_bare_date_begins_at_midnight() -> None:
    assert parse_when("2026-12-31", NOW, zone=CHINA) == datetime(2026, 12, 31, tzinfo=CHINA)


@pytest.mark.parametrize("text", ["soon", "31.12.2026", "2026-02-30", "+d", "9999-12-31", ""])
def test_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="is no date"):
        parse_when(text, NOW, end_of_day=True, zone=CHINA)


def _file(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode(encoding))
    return path


ROW = "辽A12345,被盗抢,拦截检查,报案,C-1,王警官,2026-12-31"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_encodings_and_separators(tmp_path: Path, encoding: str, separator: str) -> None:
    text = f"{CHINESE}\r\n{ROW}\r\n".replace(",", separator)
    rows = list(read_rows(_file(tmp_path, text, encoding), NOW))
    assert [row.line for row in rows] == [2]
    assert rows[0].fields["plate"] == "辽A12345"
    assert rows[0].fields["authoriser"] == "王警官"


def test_each_bad_row_has_its_line(tmp_path: Path) -> None:
    text = "\n".join(
        [
            ENGLISH,
            ROW,
            "",
            "too,few",
            ROW.replace("2026-12-31", "soon"),
            '辽A12345,"un"quoted,b,c,d,e,f',
            ROW.replace("报案", "x" * 10_000_000),
            ROW.replace("报案", '"two\nlines"'),
            ROW,
        ]
    )
    rows = list(read_rows(_file(tmp_path, text), NOW))
    assert [(row.line, row.refusal is None) for row in rows] == [
        (2, True),
        (4, False),
        (5, False),
        (6, False),
        (7, False),
        (8, True),  # a quoted line break; the form refuses it later
        (10, True),
    ]
    assert "expires_at" in (rows[2].refusal or "")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; the first line names the columns"),
        (b"PK\x03\x04whatever", "is no workbook that can be read"),
        ("\ufeff车牌".encode("utf-16-le"), "neither|no CSV"),
        (b"plate,\xff\xff\xff", "neither UTF-8 nor GB18030"),
        (ENGLISH.encode() + "\n车牌".encode() + b"\xff\xff", "neither UTF-8 nor GB18030"),
    ],
)
def test_a_file_that_is_no_list(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        list(read_rows(path, NOW))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        encoding_of(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="directory"):
        encoding_of(tmp_path)


@pytest.mark.parametrize(
    "cell", ["=1+1", "+31", "-x", "@cmd", "＝1", "'", "'=x", "''", "辽A12345", ""]
)
def test_formulas_are_guarded_and_come_back(cell: str) -> None:
    assert not guard(cell).startswith(("=", "+", "-", "@", "＝"))
    assert unguard(guard(cell)) == cell
