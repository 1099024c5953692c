"""What commands say of errors."""

import errno
import os

import pytest
import typer

from nst.cli.terminal import errors_are_sentences
from nst.files import BadOutput, whole


def said(error, capsys):
    """The sentence with which a command ends that raises this."""

    @errors_are_sentences
    def command():
        raise error

    with pytest.raises(typer.Exit) as caught:
        command()
    assert caught.value.exit_code == 2
    return capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (BadOutput("`a.png` is full."), "Error: `a.png` is full."),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "photos"),
            "Error: `photos` cannot be used: permission denied.",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            "Error: The system refuses: no space left on device.",
        ),
        (MemoryError(), "Error: There is not enough memory. A smaller size needs less."),
    ],
)
def test_an_error_is_a_sentence_with_its_reason(error, sentence, capsys):
    assert said(error, capsys) == sentence


def test_the_file_that_could_not_be_written_is_named(tmp_path, capsys):
    @errors_are_sentences
    def command():
        with whole(tmp_path / "gone" / "report.json") as new:
            new.write_text("{}")

    with pytest.raises(typer.Exit):
        command()
    wanted = "Error: `report.json` could not be written: no such file or directory."
    assert capsys.readouterr().err.strip() == wanted


def test_a_reader_that_has_had_enough_is_left_to_the_caller():
    @errors_are_sentences
    def command():
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        command()
