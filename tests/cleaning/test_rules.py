"""Rules are read strictly, and nothing in them is executed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.cleaning.columns import parse
from lepton_ai.cleaning.rules import Rule
from lepton_ai.core import ConfigError, DataError

FIX = "Write 'age between 0 and 120', 'price > 0', 'state != unknown' or 'colour in red, green, blue'."
AGES = parse("age", [10.0, None, 30.0, -1.0])


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("age between 0 and 20", [False, False, True, True]),
        ("age > 0", [False, False, False, True]),
        ("age>=10", [False, False, False, True]),
        ("age < 30", [False, False, True, False]),
        ("age <= 1e1", [False, False, True, False]),
        ("age != 30", [False, False, True, False]),
        ("age == 10", [False, False, True, True]),
        ("age in 10, 30", [False, False, False, True]),
        ("'age' > 0", [False, False, False, True]),
    ],
)
def test_a_rule_marks_what_breaks_it(text: str, broken: list[bool]) -> None:
    assert Rule.parse(text).broken(AGES).tolist() == broken


def test_rules_of_texts() -> None:
    towns = parse("home town", ["Graz", "New York", None, "Wien"])
    assert Rule.parse("'home town' in Graz, 'New York'").broken(towns).tolist() == [False, False, False, True]
    assert Rule.parse('"home town" != "New York"').broken(towns).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("age between 5 and 1", f"rule 'age between 5 and 1', expected two numbers, the lower one first. {FIX}"),
        ("age between a and b", f"rule 'age between a and b', expected two numbers, the lower one first. {FIX}"),
        ("age < old", f"rule 'age < old', expected a number after <. {FIX}"),
        ("age < inf", f"rule 'age < inf', expected a number after <. {FIX}"),
        ("age", f"a rule that cannot be read, 'age'. {FIX}"),
        ("age in ,", f"a rule that cannot be read, 'age in ,'. {FIX}"),
        ("__import__('os')", f"a rule that cannot be read, \"__import__('os')\". {FIX}"),
        ("age > 0 or 1 == 1", f"a rule that cannot be read, 'age > 0 or 1 == 1'. {FIX}"),
    ],
)
def test_other_sentences_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        Rule.parse(text)
    assert str(error.value) == said


def test_sizes_of_texts_cannot_be_compared() -> None:
    with pytest.raises(DataError) as error:
        Rule.parse("town > 3").broken(parse("town", ["Graz", "Wien"]))
    assert str(error.value) == "the rule 'town > 3' is about numbers, but 'town' holds texts"


@given(st.text(max_size=40))
@settings(max_examples=80, deadline=None)
def test_any_sentence_is_a_rule_or_a_mistake(text: str) -> None:
    try:
        rule = Rule.parse(text)
    except ConfigError:
        return
    assert rule.column and rule.text == text.strip()
