import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from nst.names import Problem, UnknownName, pick, printable, sentence, suggest


def test_suggest_offers_the_closest_name():
    assert suggest("averge", ["max", "average"]) == "Did you mean `average`?"


def test_suggest_ignores_the_case_of_what_was_asked():
    assert suggest("AVERAGE", ["max", "average"]) == "Did you mean `average`?"


def test_suggest_lists_every_name_in_order_where_none_is_close():
    assert suggest("zzzz", ["max", "average"]) == "Known: average, max."


def test_suggest_takes_an_iterator():
    assert suggest("averge", iter(["max", "average"])) == "Did you mean `average`?"


def test_pick_returns_the_entry_of_the_exact_name():
    table = {"max": 1, "average": 2}
    assert pick("pooling", "average", table) == 2


def test_pick_refuses_a_close_name_instead_of_guessing():
    with pytest.raises(UnknownName) as caught:
        pick("pooling", "Max", {"max": 1, "average": 2})
    assert str(caught.value) == "Unknown pooling `Max`. Did you mean `max`?"


def test_pick_lists_the_names_where_none_is_close():
    with pytest.raises(UnknownName) as caught:
        pick("pooling", "median", {"max": 1, "average": 2})
    assert str(caught.value) == "Unknown pooling `median`. Known: average, max."


def test_an_unknown_name_is_a_value_error():
    assert issubclass(UnknownName, ValueError)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe 3\N{MULTIPLICATION SIGN}3 “x”", "Größe 3\N{MULTIPLICATION SIGN}3 “x”"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\x9b\x00\x7f", r"\x9b\x00\x7f"),
        ("left\u202eright", r"left\u202eright"),
        ("\udcff", r"\udcff"),
    ],
)
def test_control_characters_are_shown_as_escapes(text, shown):
    assert printable(text) == shown
    assert str(Problem(text)) == str(UnknownName(text)) == shown


class Numbers(BaseModel):
    count: int = 0
    share: float = 0
    parts: tuple[int, ...] = Field((1,), min_length=1)
    more: dict[str, int] = {}
    word: str = ""

    @field_validator("word")
    @classmethod
    def _refused(cls, word):
        raise ValueError(f"nobody says {word}")


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"count": "x"}, "`count` is 'x': it must be a whole number."),
        ({"count": 2.5}, "`count` is 2.5: it must be a whole number."),
        ({"share": "x"}, "`share` is 'x': it must be a number."),
        ({"parts": ()}, "`parts` is (): at least 1 would work."),
        ({"parts": 3}, "`parts` is 3: it must be a list."),
        ({"more": 3}, "`more` is 3: it must be a table."),
        ({"word": "{x}"}, "`word` is '{x}': nobody says {x}."),
    ],
)
def test_an_error_of_the_library_is_a_sentence_of_ours(tree, words):
    with pytest.raises(ValidationError) as caught:
        Numbers.model_validate(tree)
    assert sentence(caught.value.errors()[0]) == words
