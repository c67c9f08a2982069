"""The table of experiments: as narrow as what differs, whatever the length of DVC's names."""

from assay.cli import show

SHOWN = """\
Experiment,rev,typ,cyclic.test_accuracy,long.test_accuracy,arms.long.seeds
,workspace,baseline,0.81,0.84,"[0, 1]"
,main,baseline,0.81,0.84,"[0, 1]"
two,903bd1e,branch_commit,0.82,0.84,"[0, 1]"
one,c4e3e5b,branch_base,,0.85,[0]
"""


def test_experiments_stand_side_by_side_and_values_below_each_other():
    assert show.table(SHOWN).splitlines() == [
        "                       workspace  main    two     one",
        "cyclic: test accuracy  0.81       0.81    0.82",
        "long: test accuracy    0.84       0.84    0.84    0.85",
        "arms.long.seeds        [0, 1]     [0, 1]  [0, 1]  [0]",
    ]
