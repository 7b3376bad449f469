import numpy as np
import pytest


@pytest.fixture(params=["arteries", "veins"])
def tree(request, positive_study):
    return getattr(positive_study, request.param)


def test_murrays_law_holds_at_every_branching(tree):
    branchings = 0
    for index, branch in enumerate(tree.branches):
        children = [tree.branches[child] for child in tree.children(index)]
        if children:
            branchings += 1
            assert sum(child.radius_mm**3 for child in children) == pytest.approx(branch.radius_mm**3, rel=1e-9)
    assert branchings > 500


def test_branches_begin_where_their_parents_end(tree):
    for branch in tree.branches:
        if branch.parent >= 0:
            gap = np.linalg.norm(branch.points[0] - tree.branches[branch.parent].points[-1])
            assert gap < 1e-6


def test_arteries_go_from_trunk_to_subsegments(positive_study):
    order = ["trunk", "main", "lobar", "segmental", "subsegmental"]
    branches = positive_study.arteries.branches
    assert {branch.level for branch in branches} == set(order)
    for branch in branches[1:]:
        assert order.index(branch.level) >= order.index(branches[branch.parent].level)
        assert branches[branch.parent].side in (branch.side, "middle")
    assert branches[0].radius_mm == pytest.approx(positive_study.anatomy.trunk_radius_mm)


def test_small_vessels_lie_in_the_lungs_and_not_in_the_heart(positive_study):
    anatomy = positive_study.anatomy
    ends = np.array([b.points[-1] for b in positive_study.arteries.branches if b.level == "subsegmental"])
    assert np.mean(anatomy.lung_distance(*ends.T.astype(np.float32)) < 2.0) > 0.95
    assert anatomy.heart.distance(*ends.T).min() > 2.0
