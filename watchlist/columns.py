"""The columns of a list as a spreadsheet: header names and values in English and Chinese.

Headers are compared without case, spaces, hyphens and underscores. A list may leave out any
column that an entry may do without; a column that is not known is refused, so that a typing
mistake in a header does not drop what stands below it.

    plate           车牌 车牌号 车牌号码 号牌号码 号牌           required
    category        类别 类型 布控类别 布控类型                  required
    disposition     处置 处置措施 处置方式                       required
    reason          原因 事由 布控原因                           required
    case_number     案号 案件编号; case, case id                 required
    authoriser      审批人 批准人; authorizer, approver          required
    expires_at      到期时间 失效时间 有效期至; expires          required
    id              编号 布控编号; entry
    priority        优先级 级别 布控级别                         1 to 4
    plate_class     号牌种类 号牌类型 车牌种类 车牌类型
    vehicle_class   车辆类型 车型
    vehicle_colour  车身颜色 车辆颜色; vehicle color, colour, color
    requester       申请人
    valid_from      生效时间 开始时间 起始时间
    audience        卡口 适用卡口; checkpoints                   several: split by ";"
    source          来源
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any

from pipeline.config import CATEGORIES
from pipeline.errors import InputError
from pipeline.types import PlateClass, VehicleClass, VehicleColour, WatchlistEntry
from watchlist.entry import EntryError, iso

COLUMNS: tuple[str, ...] = (
    "id",
    "plate",
    "category",
    "priority",
    "disposition",
    "reason",
    "case_number",
    "authoriser",
    "requester",
    "valid_from",
    "expires_at",
    "plate_class",
    "vehicle_class",
    "vehicle_colour",
    "audience",
    "source",
)
REQUIRED: tuple[str, ...] = (
    "plate",
    "category",
    "disposition",
    "reason",
    "case_number",
    "authoriser",
    "expires_at",
)

_HEADERS: dict[str, tuple[str, ...]] = {
    "id": ("编号", "布控编号", "entry", "entryid"),
    "plate": ("车牌", "车牌号", "车牌号码", "号牌号码", "号牌", "platenumber"),
    "category": ("类别", "类型", "布控类别", "布控类型"),
    "priority": ("优先级", "级别", "布控级别"),
    "disposition": ("处置", "处置措施", "处置方式"),
    "reason": ("原因", "事由", "布控原因"),
    "case_number": ("案号", "案件编号", "case", "caseid"),
    "authoriser": ("审批人", "批准人", "authorizer", "approver"),
    "requester": ("申请人",),
    "valid_from": ("生效时间", "开始时间", "起始时间"),
    "expires_at": ("到期时间", "失效时间", "有效期至", "expires", "expiry"),
    "plate_class": ("号牌种类", "号牌类型", "车牌种类", "车牌类型"),
    "vehicle_class": ("车辆类型", "车型"),
    "vehicle_colour": ("车身颜色", "车辆颜色", "vehiclecolor", "colour", "color"),
    "audience": ("卡口", "适用卡口", "checkpoint", "checkpoints"),
    "source": ("来源",),
}

_VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "category": {
        "stolen": ("被盗", "被盗抢", "盗抢", "盗抢车辆"),
        "wanted": ("通缉", "布控", "嫌疑", "嫌疑车辆", "涉案车辆"),
        "cloned_plate": ("套牌", "套牌车", "假牌套牌"),
        "missing_person": ("失踪", "失踪人员", "走失"),
        "expired_inspection": ("逾期未检验", "逾期未年检", "未年检"),
        "unpaid_accident": ("肇事逃逸", "事故逃逸"),
        "other": ("其他", "其它"),
    },
    "plate_class": {
        PlateClass.BLUE: ("蓝牌", "小型汽车", "小型汽车号牌"),
        PlateClass.YELLOW_SINGLE: ("黄牌", "大型汽车前牌"),
        PlateClass.YELLOW_DOUBLE: ("双层黄牌", "大型汽车后牌"),
        PlateClass.GREEN_SMALL: ("绿牌", "小型新能源", "小型新能源汽车"),
        PlateClass.GREEN_LARGE: ("黄绿牌", "大型新能源", "大型新能源汽车"),
        PlateClass.POLICE: ("警用", "警车", "警牌"),
        PlateClass.COACH: ("教练", "教练车", "教练汽车"),
        PlateClass.HK_MACAU: ("港澳", "港澳入出境车"),
        PlateClass.EMBASSY: ("使馆", "使馆汽车"),
        PlateClass.CONSULATE: ("领馆", "领馆汽车"),
        PlateClass.WJ: ("武警",),
        PlateClass.ARMY: ("军车", "军牌"),
        PlateClass.MOTORCYCLE: ("摩托车", "摩托车号牌"),
        PlateClass.TRAILER: ("挂车", "挂车号牌"),
        PlateClass.TEMPORARY: ("临时", "临牌", "临时号牌"),
        PlateClass.TRACTOR: ("拖拉机",),
        PlateClass.EMERGENCY: ("应急", "应急救援"),
        PlateClass.OTHER: ("其他", "其它"),
    },
    "vehicle_class": {
        VehicleClass.CAR: ("轿车", "小客车", "小型客车", "小汽车"),
        VehicleClass.VAN: ("面包车", "厢式车"),
        VehicleClass.BUS: ("客车", "大客车", "大型客车"),
        VehicleClass.TRUCK: ("货车", "卡车", "大货车"),
        VehicleClass.MOTORCYCLE: ("摩托车",),
        VehicleClass.OTHER: ("其他", "其它"),
    },
    "vehicle_colour": {
        VehicleColour.BLACK: ("黑", "黑色"),
        VehicleColour.WHITE: ("白", "白色"),
        VehicleColour.SILVER: ("银", "银色", "银灰", "灰", "灰色"),
        VehicleColour.RED: ("红", "红色"),
        VehicleColour.BLUE: ("蓝", "蓝色"),
        VehicleColour.GREEN: ("绿", "绿色"),
        VehicleColour.YELLOW: ("黄", "黄色"),
        VehicleColour.BROWN: ("棕", "棕色", "褐色"),
        VehicleColour.PINK: ("粉", "粉色", "粉红"),
    },
}
if set(_VALUES["category"]) != set(CATEGORIES):  # pragma: no cover
    raise AssertionError("every category needs its Chinese names")


def _key(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).casefold()


_FIELD_OF = {_key(name): column for column, names in _HEADERS.items() for name in (column, *names)}
_VALUE_OF = {
    column: {_key(name): value for value, names in values.items() for name in (value, *names)}
    for column, values in _VALUES.items()
}

PLAIN = frozenset(COLUMNS) - _VALUE_OF.keys() - {"expires_at", "valid_from", "audience"}
"""Columns whose cells are taken as they are: ``parse_cell`` gives them back."""


def columns_of(header: Sequence[str]) -> tuple[str, ...]:
    """The field of each column of a header line.

    Raises:
        InputError: a column is unknown or comes twice, or a required one is missing; the
            message begins with what is wrong, not with the file.
    """
    columns = []
    for name in header:
        column = _FIELD_OF.get(_key(name))
        if column is None:
            known = ", ".join(COLUMNS)
            raise InputError(f"line 1: unknown column {name[:40]!r}; known are: {known}")
        if column in columns:
            raise InputError(f"line 1: column {name!r} says {column} a second time")
        columns.append(column)
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise InputError(f"line 1: no column for {', '.join(missing)}")
    return tuple(columns)


def parse_cell(column: str, cell: str, now: datetime) -> object:
    """What a cell that is not empty says, in the form that ``EntryForm`` checks.

    Raises:
        ValueError: a date cannot be understood.
    """
    if column in _VALUE_OF:
        return _VALUE_OF[column].get(_key(cell), cell)
    if column in {"expires_at", "valid_from"}:
        return parse_when(cell, now, end_of_day=column == "expires_at")
    if column == "audience":
        return tuple(part.strip() for part in re.split("[;；]", cell) if part.strip())
    return cell


def parse_fields(said: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """What some cells say, by column, in the form that ``make_entry`` takes; empty ones are left
    out.

    Raises:
        EntryError: it names each date that cannot be understood.
    """
    fields: dict[str, Any] = {}
    mistakes = []
    for column, text in said.items():
        try:
            if text.strip():
                fields[column] = parse_cell(column, text, now)
        except ValueError as error:
            mistakes.append(f"{column}: {error}")
    if mistakes:
        raise EntryError(mistakes)
    return fields


def cells_of(entry: WatchlistEntry) -> tuple[str, ...]:
    """The cells of one entry, in the order of ``COLUMNS``."""
    cells = []
    for column in COLUMNS:
        value = getattr(entry, column)
        if isinstance(value, datetime):
            value = iso(value)
        elif isinstance(value, tuple):
            value = ";".join(value)
        cells.append("" if value is None else str(value))
    return tuple(cells)


def parse_when(
    text: str, now: datetime, *, end_of_day: bool = False, zone: tzinfo | None = None
) -> datetime:
    """A moment: ISO 8601 (``2026-12-31``, ``2026/12/31 18:00``, ``…T10:00:00Z``) or from now on
    (``+30d``, ``+12h``).

    A moment without a zone is in ``zone``, by default this machine's own. A bare date means
    its beginning, with ``end_of_day`` the end of that day.

    Raises:
        ValueError: it is none of these.
    """
    text = text.strip()
    ahead = re.fullmatch(r"\+(\d{1,5})([hd])", text)
    if ahead:
        return now + timedelta(**{"hours" if ahead[2] == "h" else "days": int(ahead[1])})
    try:
        written = re.sub(r"^(\d{4})/(\d{1,2})/(\d{1,2})", _dashes, text)
        moment = datetime.fromisoformat(written)
        if moment.tzinfo is None:
            if end_of_day and re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", written):
                moment = datetime.combine(moment + timedelta(days=1), time())
            moment = moment.replace(tzinfo=zone) if zone else moment.astimezone()
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no date; write 2026-12-31 or +30d") from None


def _dashes(match: re.Match[str]) -> str:
    return f"{match[1]}-{int(match[2]):02}-{int(match[3]):02}"
