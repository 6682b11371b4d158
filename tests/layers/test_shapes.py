import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.layers.shapes import conv_length, is_shape, leaves, map_leaves, merge, same_padding, shapes_of, show

small = st.integers(1, 30)


@given(small, st.integers(1, 7), st.integers(1, 5), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
def test_lengths_are_torchs(length: int, kernel: int, stride: int, dilation: int) -> None:
    before, after = same_padding(length, kernel, stride, dilation)
    assert 0 <= after - before <= 1
    same = torch.nn.functional.conv1d(
        torch.zeros(1, 1, length + before + after), torch.zeros(1, 1, kernel), stride=stride, dilation=dilation
    )
    assert same.shape[-1] == conv_length(length, kernel, stride, "same", dilation)
    if length > dilation * (kernel - 1):
        valid = torch.nn.functional.conv1d(
            torch.zeros(1, 1, length), torch.zeros(1, 1, kernel), stride=stride, dilation=dilation
        )
        assert valid.shape[-1] == conv_length(length, kernel, stride, "valid", dilation)
    else:
        assert conv_length(length, kernel, stride, "valid", dilation) == 0


def test_structures() -> None:
    x = torch.zeros(2, 3)
    assert shapes_of((x,)) == (2, 3)
    assert shapes_of((x, None, 5, x)) == ((2, 3), (2, 3))
    assert shapes_of(([x, x],)) == [(2, 3), (2, 3)]
    assert shapes_of(({"a": x},)) == {"a": (2, 3)}
    assert list(leaves({"a": [1, (2, "x")]}, lambda value: isinstance(value, int))) == [1, 2]
    assert map_leaves(lambda value: value + 1, {"a": [1, (2, "x")]}, lambda value: isinstance(value, int)) == {
        "a": [2, (3, "x")]
    }


def test_shapes_are_told_from_structures_of_them() -> None:
    assert is_shape((None, 3)) and is_shape(torch.Size([2])) and is_shape(())
    assert not is_shape([(None, 3)]) and not is_shape(((None, 3),))


def test_what_differs_is_free() -> None:
    assert merge((2, 5), (3, 5)) == (None, 5)
    assert merge([(2,), {"a": (2, 4)}], [(3,), {"a": (3, 4)}]) == [(None,), {"a": (None, 4)}]
    assert conv_length(None, 3, 1, "same") is None
    assert (show((None, 3)), show((3,)), show(())) == ("(None, 3)", "(3,)", "()")
