"""The forms that may be tried before all others: whatever they match, no other form does."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_assets.tools.profile_my_data.forms import FORMS, Form

APART = [form for form in FORMS if form.is_apart]


@pytest.mark.parametrize("form", APART, ids=lambda form: form.name)
@given(data=st.data())
def test_what_a_form_apart_matches_no_other_form_does(form: Form, data: st.DataObject) -> None:
    said = data.draw(st.from_regex(form.pattern, fullmatch=True))
    assert [other.name for other in FORMS if re.fullmatch(other.pattern, said)] == [form.name]


def test_some_forms_are_apart() -> None:
    assert {form.name for form in APART} == {"money", "2024-01-02 03:04:05"}
