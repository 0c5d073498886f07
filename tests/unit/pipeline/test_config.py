"""The configuration file: every mistake with its file, line, key and value; no secret shown."""

from pathlib import Path

import pytest

from pipeline import config
from pipeline.errors import ConfigError, redact


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "checkpoint.toml"
    file.write_text(text, encoding="utf-8")
    return file


def mistakes(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path, text))
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_all_mistakes_at_once_each_with_its_line(tmp_path: Path) -> None:
    said = mistakes(
        tmp_path,
        'colour = 1\n[[cameras]]\nname = "a"\nsource = "x"\n\n[[cameras]]\n'
        'name = "b c"\nsource = "y"\nsample_fps = 0\n[passages]\nclose_after_s = "soon"\n',
    ).splitlines()
    assert [line.split(": ")[0].rpartition(":")[2] for line in said] == ["7", "9", "11", "1"]
    assert "cameras.1.name = 'b c'" in said[0]
    assert "passages.close_after_s = 'soon'" in said[2]
    assert "colour = 1" in said[3]


def test_a_missing_key_is_said_where_its_table_begins(tmp_path: Path) -> None:
    said = mistakes(tmp_path, '[[cameras]]\nname = "a"\nsource = "x"\n[[cameras]]\nname = "b"\n')
    assert ":4: cameras.1.source = (not set): Field required" in said


def test_the_line_of_a_key_in_a_table_within_an_array() -> None:
    text = '[[cameras]]\nname="a"\n[[cameras.lanes]]\nname="1"\n[[cameras.lanes]]\nname=""\n'
    assert config.line_of(text, ("cameras", 0, "name")) == 2
    assert config.line_of(text, ("cameras", 0, "lanes", 1, "name")) == 6
    assert config.line_of("a.b = 1\n", ("a", "b")) == 1


def test_secrets_come_from_the_environment_and_are_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        '[watchlist]\nredis_url = "redis://:${CHECKPOINT_TEST_SECRET}@host/0"\n'
        '[[cameras]]\nname = "a"\nsource = "rtsp://viewer:${CHECKPOINT_TEST_SECRET}@host/1"\n'
    )
    monkeypatch.delenv("CHECKPOINT_TEST_SECRET", raising=False)
    assert "CHECKPOINT_TEST_SECRET" in mistakes(tmp_path, text)
    monkeypatch.setenv("CHECKPOINT_TEST_SECRET", "hunter2")
    settings = config.load(write(tmp_path, text))
    assert settings.watchlist.redis_url == "redis://:hunter2@host/0"
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in mistakes(tmp_path, text + "sample_fps = -1\nextra = 1\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a = = 1", "no valid TOML"),
        ('roles = ["recognise"]', "alerts.target"),
        ("[matching]\npossible_floor = 0", ":2: matching.possible_floor = 0: Input should be"),
        ('[[cameras]]\nname="a"\nsource="x"\n[[cameras]]\nname="a"\nsource="y"', "same name: a"),
    ],
)
def test_what_is_wrong_is_said_in_words(tmp_path: Path, text: str, says: str) -> None:
    assert says in mistakes(tmp_path, text)


def test_a_model_for_paddleocr_needs_paddleocr(tmp_path: Path) -> None:
    model = 'reader_model = "/models/mine"\n'
    said = mistakes(tmp_path, f"[recognition]\n{model}")
    assert ":2: recognition.reader_model = '/models/mine': only reader = \"paddleocr\"" in said
    said = mistakes(tmp_path, f'[recognition]\n{model}reader = "tesseract"\n')
    assert ":3: recognition.reader = 'tesseract': Input should be 'openvino' or 'paddleocr'" in said
    assert "reader_model" not in said
    right = config.load(write(tmp_path, f'[recognition]\n{model}reader = "paddleocr"\n'))
    assert right.recognition.reader_model == Path("/models/mine")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://u:p@host/1", "rtsp://***@host/1"),
        ("rtsp://u:p@ss/w@host/1", "rtsp://***@host/1"),
        ("http://host/1?password=abc&x=1", "http://host/1?password=***&x=1"),
        ("rtsp://host/1", "rtsp://host/1"),
    ],
)
def test_redaction(url: str, shown: str) -> None:
    assert redact(f"cannot open {url} now") == f"cannot open {shown} now"
    assert redact(redact(url)) == redact(url)
