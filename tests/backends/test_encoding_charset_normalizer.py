from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from pipeline.backends.encoding_charset_normalizer import detect_encoding, invalid_text, open_text
from pipeline.core.errors import DataError, SourceError

TEXT = '{"prompt": "Wo ist der Schlüssel für das Gerät?", "completion": "dort"}\n' * 3


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (b"only ascii\n", "utf-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8-sig"),
        (TEXT.encode("utf-16"), "utf-16"),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("utf-32"), "utf-32"),
        (TEXT.encode("latin-1"), "cp1252"),  # latin-1 text is the same in its superset
        ("it costs 5 € – that’s “cheap”".encode("cp1252"), "cp1252"),
    ],
)
def test_encoding_is_found_and_reads_back(tmp_path: Path, content: bytes, encoding: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    detected = detect_encoding(path)
    assert detected.name == encoding
    with open_text(path, detected.name) as stream:
        text = stream.read()
        stream.seek(0)
        assert stream.read() == text
    assert invalid_text(text) is None
    if len(content) > 100:
        assert text == TEXT
        assert detected.lines == 3


def test_surrogate_pairs_written_as_two_characters_are_joined(tmp_path: Path) -> None:
    # CESU-8, as Java's "modified UTF-8" writes it: U+1F355 is D83C DF55, each half coded as three bytes.
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "pizza \xed\xa0\xbc\xed\xbd\x95"}\n')
    detected = detect_encoding(path)
    assert detected.name == "cesu-8"
    with open_text(path, detected.name) as stream:
        assert stream.read() == '{"text": "pizza \U0001f355"}\n'


@pytest.mark.parametrize(
    "content",
    [
        b'{"prompt": "\xff\xfe\xfa"}\n',  # no text in any encoding that is read
        b'{"prompt": "hello \xff there"}\n',
        b'{"prompt": "\xc3\x28"}\n',  # a two-byte character that is not ended
        b'{"prompt": "abc \xf0\x9f\x98 def"}\n',  # three bytes of an emoji's four
        b'{"prompt": "a \x80\x81 b"}\n',  # 0x81 is nothing in cp1252
        "Привет, как дела?".encode("cp1251"),
        ("naïve café\n" * 5).encode() + b"\xe9t\xe9\n",  # a UTF-8 file with one bad line
    ],
)
def test_damaged_text_is_not_taken_for_another_encoding(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    assert detect_encoding(path).name == "utf-8"


def test_an_encoding_that_is_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(("вопрос,ответ\n" + "Как пополнить счёт с другой карты?,top_up\n" * 30).encode("cp1251"))
    assert detect_encoding(path).suspected == "cp1251"


def test_invalid_text_says_where() -> None:
    assert invalid_text("grün") is None
    assert invalid_text(b"ab\xff".decode("utf-8", "surrogateescape")) == "not valid UTF-8: byte 0xff at character 3"
    assert invalid_text("a\ud83d") == "half of a surrogate pair at character 2"


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").touch()
    with pytest.raises(DataError, match="the file is empty"):
        detect_encoding(tmp_path / "rows.jsonl")


def test_a_binary_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(bytes(range(256)) * 10)
    with pytest.raises(DataError, match="not a text file"):
        detect_encoding(tmp_path / "rows.jsonl")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        detect_encoding(tmp_path / "rows.jsonl")
