"""Records for tests."""

from store.records import Decision, LoopRecord, Slot


def loop(name: str, revision: int = 1) -> LoopRecord:
    """A loop record."""
    return LoopRecord(name=name, config=b"{}", secret=b"s" * 32, revision=revision, updated_at=7)


def decision(decision_id: str = "d", *, loop: str = "a", at: int = 0, window: int = 10, slots: int = 1) -> Decision:
    """A decision between three actions."""
    actions = ["x", "y", "z"]
    return Decision(
        loop=loop,
        decision_id=decision_id,
        at=at,
        due=at + window,
        request=b'{"actions": [{"id": "x"}, {"id": "y"}, {"id": "z"}]}',
        actions=actions,
        propensities=[0.5, 0.25, 0.25],
        predicted=[0.1, 0.2, 0.3],
        ranking=[Slot(name, 0.5, explored=False) for name in actions[:slots]],
        policy="fixed",
        model_version="fixed-0@0",
        exploration=0.25,
    )
