"""What `make mutants` draws from: its places stand where they should, and what explains a survivor is of one."""

from tests.mutants.explained import EXPLAINED
from tests.mutants.lua import lua_mutants
from tests.mutants.places import ROOT, all_mutants, drawn


def test_each_mutant_is_another_program() -> None:
    for mutant in drawn(all_mutants("cacheops/protocol"), 50, 1):
        text = (ROOT / mutant.path).read_text()
        changed = mutant.apply(text)
        assert changed != text, mutant.name
        compile(changed, mutant.name, "exec")


def test_each_lua_mutant_changes_one_place() -> None:
    """`lua_mutants` fails where the code has moved on from under one."""
    for mutant in lua_mutants():
        text = (ROOT / mutant.path).read_text()
        wanted = text.replace(mutant.before, mutant.after, 1)
        assert "".join(mutant.apply(text).split()) == "".join(wanted.split()), mutant.name


def test_explanations_are_of_mutants() -> None:
    paths = {name.partition(" ")[0] for name in EXPLAINED}
    known = {mutant.name for path in paths for mutant in [*all_mutants(path), *lua_mutants(path)]}
    assert EXPLAINED.keys() <= known


def test_a_sample_stays_the_same_while_other_code_changes() -> None:
    mutants = all_mutants("cacheops/protocol")
    sample = drawn(mutants, 20, 1)
    other = next(mutant for mutant in mutants if mutant not in sample)
    assert drawn([mutant for mutant in mutants if mutant != other], 20, 1) == sample
