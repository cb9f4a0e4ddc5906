"""How training learns from another model: one class of options per method, under TRL's names where it has them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.base import NotFingerprinted, Schema

Positive = Annotated[int, Field(gt=0)]


class TeacherOptions(Schema):
    """``teacher`` is the model that is learned from: a folder, a Hub id, ``run:NAME`` or ``NAME@version``."""

    teacher: Annotated[str | None, NotFingerprinted()] = None


class GkdOptions(TeacherOptions):
    """TRL's GKDConfig without answers of the student's own (``lmbda`` 0): rows are read by both models.

    The teacher has the student's tokenizer. What is made small is, over the trained tokens, the divergence of the
    student's next-token distribution from the teacher's: with ``beta`` 0 the forward KL, with 1 the reverse KL, between
    them the generalized Jensen-Shannon divergence.
    """

    beta: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5


class SeqKdOptions(TeacherOptions):
    """What the teacher answers takes the place of the rows' answers, and is trained on as by `sft`.

    It answers each question ``num_generations`` times, in its own chat template. Where ``train.rewards`` names some,
    the answer with the highest reward is kept, and none where that is below ``least_reward`` (rejection sampling);
    without rewards the first is. At ``temperature`` 0 it answers once.
    """

    num_generations: Positive = 1
    max_completion_length: Positive = 256
    temperature: Annotated[float, Field(ge=0.0)] = 1.0
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    least_reward: float = 1.0


class TaughtReport(Schema):
    """What a teacher gave: ``answers`` to ``questions``, of which ``kept`` are trained on; ``cut`` were at their limit.

    ``reward`` is the mean of all answers, null where nothing rewards them.
    """

    questions: int
    answers: int
    kept: int
    cut: int
    reward: float | None = None
