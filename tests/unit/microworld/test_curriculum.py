"""The order of skills: a stage closes when it is learnt or late, and every skill is rehearsed to the end."""

from rl4nlu.microworld.curriculum import LATEST, STAGES, Curriculum


def test_every_skill_is_rehearsed_to_the_end() -> None:
    weights = Curriculum(stage=3, accuracy=dict.fromkeys([k for s in STAGES for k in s], 1.0), reasons=True).weights()
    assert all(weights[kind] > 0.002 for skills in STAGES for kind in skills)
    assert weights["instruction"] + weights["reasons"] > 0.5
    assert "reasons" not in Curriculum(stage=3).weights()


def test_a_stage_closes_when_learned_or_late() -> None:
    learned, late = Curriculum(), Curriculum()
    assert learned.weights() == {"copy_list": 1.0}
    learned.accuracy["copy_list"] = 0.99
    learned.advance(0.01)
    assert learned.stage == 1
    assert learned.opened == [0.0, 0.01]
    late.advance(LATEST[0] - 0.01)
    assert late.stage == 0
    late.advance(LATEST[0] + 0.01)
    assert late.stage == 1
    weak = Curriculum(stage=1, accuracy={"same_words": 0.9, "membership": 0.4})
    assert weak.weights()["membership"] > weak.weights()["same_words"]
