"""Work stamps cannot be made up, changed, moved to another task or session, outlive their day, or count twice."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unbabble.web.collect.stamps import (
    ALPHABET,
    EPOCH,
    LETTERS,
    MOST_COUNT,
    MOST_DAYS,
    Stamp,
    StampError,
    issue,
    read,
    stamp_key,
    verify,
)

KEY, OTHER_KEY = stamp_key(b"this site"), stamp_key(b"another site")
words = st.text(min_size=0, max_size=30)
counts = st.integers(0, MOST_COUNT)
days = st.integers(0, MOST_DAYS).map(lambda count: EPOCH + timedelta(days=count))
serials = st.binary(min_size=4, max_size=4)


@given(words, words, counts, days, serials)
def test_a_stamp_says_what_it_was_issued_for_until_its_last_day(task, session, count, expires, serial):
    code = issue(KEY, task, session, count, expires, serial)
    assert verify(KEY, code, task, session, expires) == Stamp(serial.hex(), count, expires) == read(code)
    with pytest.raises(StampError, match="counted until"):
        verify(KEY, code, task, session, expires + timedelta(days=1))
    with pytest.raises(StampError, match="has been used"):
        verify(KEY, code, task, session, expires, used={serial.hex()})


@given(counts, days, serials, st.integers(0, LETTERS - 1), st.sampled_from(ALPHABET))
def test_any_letter_that_is_changed_spoils_it(count, expires, serial, place, letter):
    letters = list(issue(KEY, "task", "session", count, expires, serial).replace("-", ""))
    if letters[place] == letter:
        return
    letters[place] = letter
    with pytest.raises(StampError, match="not genuine"):
        verify(KEY, "".join(letters), "task", "session", EPOCH)


@given(words, words, words, words, counts)
def test_it_counts_for_its_own_task_and_session_alone(task, session, other_task, other_session, count):
    code = issue(KEY, task, session, count, date(2030, 1, 1))
    if (task, session) != (other_task, other_session):
        with pytest.raises(StampError, match="not genuine"):
            verify(KEY, code, other_task, other_session, EPOCH)
    with pytest.raises(StampError, match="not genuine"):
        verify(OTHER_KEY, code, task, session, EPOCH)


def test_where_the_task_ends_and_the_session_begins_cannot_be_shifted():
    code = issue(KEY, "ab", "c", 1, date(2030, 1, 1))
    with pytest.raises(StampError):
        verify(KEY, code, "a", "bc", EPOCH)


@given(st.text(max_size=60))
def test_what_is_no_stamp_is_said_to_be_none(text):
    with pytest.raises(StampError):
        verify(KEY, text, "task", "session", EPOCH)


@given(serials, st.sampled_from([str.lower, lambda code: code.replace("-", " "), lambda code: f" {code}\n"]))
def test_how_it_is_typed_does_not_matter(serial, typed):
    code = issue(KEY, "task", "session", 3, date(2030, 1, 1), serial)
    assert verify(KEY, typed(code), "task", "session", EPOCH).count == 3
    misread = code.replace("0", "O").replace("1", "l")
    assert verify(KEY, misread, "task", "session", EPOCH).count == 3


@pytest.mark.parametrize(
    ("count", "expires"), [(256, date(2030, 1, 1)), (-1, date(2030, 1, 1)), (1, date(2024, 1, 1))]
)
def test_what_does_not_fit_is_not_issued(count, expires):
    with pytest.raises(ValueError, match="counts up to"):
        issue(KEY, "task", "session", count, expires)
