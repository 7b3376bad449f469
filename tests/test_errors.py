"""Errors: one line of four parts, and whole again after a journey between processes."""

import pickle

import pytest

from pectl import errors

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.PectlError)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_whole_from_another_process(kind):
    code = ("not_ct",) if kind is errors.StudyRefusedError else ()
    error = kind(*code, where="a file", expected="an egg", found="a  stone", fix="hunt")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is kind
    assert str(again) == "a file: expected an egg, found a stone; hunt"
    assert vars(again) == vars(error)
    assert again.exit_code == error.exit_code
