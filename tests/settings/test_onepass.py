"""Settings of the methods for any painting, and their files."""

import pytest

from nst.engines.anypainting import TRANSFORMS
from nst.names import UnknownName
from nst.settings.base import BadSetting
from nst.settings.onepass import MethodSettings, all_methods, method


def test_there_is_a_file_for_every_method():
    assert list(all_methods()) == ["style-swap", "style-swap-balanced", "adain", "wct"]
    assert {one.settings.method for one in all_methods().values()} == set(TRANSFORMS)
    for one in all_methods().values():
        assert one.source
        assert one.summary


def test_an_unknown_name_gets_the_closest():
    with pytest.raises(UnknownName, match="`adain`"):
        method("adin")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers": "conv1_1, conv2_1"}, "deepest first"),
        ({"layers": "conv2_1, conv2_1"}, "deepest first"),
        ({"layers": ""}, "layers"),
        ({"layers": "conv5_1"}, "layers"),
        ({"size": 9999}, "size"),
        ({"strength": 2}, "strength"),
        ({"swap.patch": 0}, "swap.patch"),
        ({"swap.strid": 2}, "swap.stride"),
        ({"method": "gatys"}, "method"),
    ],
)
def test_bad_settings_are_named(changes, words):
    with pytest.raises(BadSetting, match=words):
        MethodSettings().but(changes)


def test_layers_are_read_from_text():
    assert MethodSettings().but({"layers": "conv3_1, conv1_1"}).layers == ("conv3_1", "conv1_1")
