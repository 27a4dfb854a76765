"""Pure: what becomes of names and ids that anybody may have chosen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_happyhorse.publishing.layout import LONGEST, component, default_stem
from tests.test_publishing import WHERE


class TestNames:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("shoe-01_9x16.v2", "shoe-01_9x16.v2"),
            ("Schuh größe 鞋", "Schuh-größe-鞋~6730515dca3c1135"),
            ("manual__2026-11-20T09:00:00+00:00", "manual__2026-11-20T09-00-00-00-00~a3673ae6431d6c5e"),
            ("..", "-.~5ec1f7e700f37c3d"),
            (".", "-~cdb4ee2aea69cc6a"),
            (".hidden", "-hidden~1692419006a88aab"),
            ("a/b\\c", "a-b-c~7e65aa1c27456dec"),
            ("a%2Fb", "a-2Fb~771723a684e0f10f"),
            ("~", "-~7ace431cb61584cb"),
            ("", "~e3b0c44298fc1c14"),
            ("\0\n\x7f", "---~d5f544fe3d052214"),
            ("e\u0301", "é~bf12767b0f2a56b2"),
            ("가", "가"),
            ("\u1100\u1161", "가~a0d2271e0fe8929d"),  # the same syllable to a file system that normalises
            ("\u202egpj.exe", "-gpj.exe~3574bc492a8e82cc"),
            ("\ud800", "-~91a681b998555fb4"),
        ],
    )
    def test_a_component_is_readable_and_safe(self, text: str, expected: str) -> None:
        assert component(text) == expected

    @given(st.text(st.characters(), max_size=120), st.text(st.characters(), max_size=120))
    def test_two_texts_never_become_one_component(self, one: str, other: str) -> None:
        a, b = component(one), component(other)
        assert (a == b) == (one == other)
        for made in (a, b):
            assert 0 < len(made.encode()) <= LONGEST
            assert "/" not in made
            assert not made.startswith(".")
            assert made.isprintable()

    @given(*[st.text("ab-", max_size=6), st.text("ab-", min_size=1, max_size=6)] * 2)
    def test_the_border_between_name_and_id_is_certain(self, name: str, ident: str, other_name: str, other_id: str) -> None:
        one = default_stem(WHERE, name=name, generation_id=ident)
        other = default_stem(WHERE, name=other_name, generation_id=other_id)
        assert (one == other) == ((name, ident) == (other_name, other_id))

    def test_long_names_that_differ_at_the_end_stay_apart_and_fit(self) -> None:
        one, other = component("鞋" * 300 + "1"), component("鞋" * 300 + "2")
        assert one != other
        file = default_stem(WHERE, name="鞋" * 300, generation_id="-" * 300).rpartition("/")[2]
        assert len(f"{file}-100.webp".encode()) <= 255
