"""The attack set of 500 secrets: that it is what it claims to be, and that none comes through the rules."""

from __future__ import annotations

from tests.secrets_seeded import COUNT, leaks, seeded


def test_the_attack_set_has_500_secrets_of_many_kinds_in_many_places_and_is_the_same_each_time() -> None:
    made = seeded()
    assert len(made) == COUNT == 500
    assert len({one.kind for one in made}) >= 25
    assert len({one.context for one in made}) >= 60
    assert made == seeded()


def test_every_secret_of_the_attack_set_stands_in_its_lines() -> None:
    for one in seeded():
        text = "\n".join(one.lines).encode()
        assert all(leaks(part, text) for part in one.parts), one
