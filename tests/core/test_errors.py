"""One tree of errors, one way to word them."""

import inspect

import pytest

import lepton_ai.core
from lepton_ai.core import (
    BundleError,
    ConfigError,
    DataError,
    DivergedError,
    LeptonError,
    MissingExtraError,
    NotFoundError,
    RequestError,
    ShapeError,
    StorageError,
    TooLargeError,
    UnavailableError,
    UnknownNameError,
    UsageError,
    WorkerError,
)
from lepton_ai.core import errors as module

PARENTS = {
    BundleError: ValueError,
    ConfigError: ValueError,
    DataError: ValueError,
    DivergedError: ArithmeticError,
    MissingExtraError: ImportError,
    NotFoundError: RequestError,
    RequestError: ValueError,
    ShapeError: ValueError,
    StorageError: OSError,
    TooLargeError: RequestError,
    UnavailableError: RequestError,
    UnknownNameError: ConfigError,
    UsageError: RuntimeError,
    WorkerError: RuntimeError,
}
EXPORTED = [value for value in vars(lepton_ai.core).values() if inspect.isclass(value) and issubclass(value, Exception)]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (LeptonError("it broke"), "it broke"),
        (LeptonError("it broke", at="fit"), "fit: it broke"),
        (LeptonError("it broke.", fix="Mend it."), "it broke. Mend it."),
        (LeptonError(at="x", got=0, expected="a positive int"), "x: got 0, expected a positive int"),
        (LeptonError("wrong", got="a", expected="b", fix="Write b."), "wrong, got 'a', expected b. Write b."),
        (LeptonError(at="x", got=None, expected="a number"), "x: expected a number"),
        (LeptonError(), ""),
    ],
)
def test_a_message_says_where_what_came_what_was_expected_and_what_to_write(error: LeptonError, text: str) -> None:
    assert str(error) == text


def test_every_error_is_in_the_tree_that_the_docstring_draws() -> None:
    assert set(EXPORTED) == {*PARENTS, LeptonError}
    assert module.__doc__ is not None
    for error in EXPORTED:
        assert error.__name__ in module.__doc__


@pytest.mark.parametrize("kind", PARENTS)
def test_an_error_is_caught_as_lepton_s_and_as_python_s(kind: type[LeptonError]) -> None:
    with pytest.raises(LeptonError, match=r"^here: it broke\. Mend it\.$"):
        raise kind("it broke", at="here", fix="Mend it.")
    assert issubclass(kind, PARENTS[kind])


def test_errors_that_leave_over_http_know_their_status() -> None:
    kinds = (RequestError, NotFoundError, TooLargeError, UnavailableError, DataError)
    assert [kind.status for kind in kinds] == [400, 404, 413, 503, 500]
