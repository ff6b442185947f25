"""The fine-tuning: a query's vector is to be nearest to that of its passage.

Contrastive loss over the other passages of a batch (InfoNCE, both ways), and the teacher's
similarities between the batch's texts as what the student's should look like.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from training.encode import Bags

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Settings:
    """How to learn.

    Attributes:
        batch: Pairs in one step.
        epochs: Times that each pair is seen.
        rate: Learning rate of the vectors (Adam), which falls to nothing at the end.
        temperature: Of the similarities in the contrastive loss.
        teacher_weight: Of the teacher's loss beside the contrastive one.
        teacher_temperature: Of the similarities that are compared with the teacher's.
        block: Pairs of one group that stand in a batch together: hard negatives.
        dropout: Share of tokens left out of each text.
        power: Of the number of times that a text has a token: below 1, repeats count less.
    """

    batch: int = 2_048
    epochs: int = 12
    rate: float = 2e-3
    temperature: float = 0.05
    teacher_weight: float = 1.0
    teacher_temperature: float = 0.05
    block: int = 64
    dropout: float = 0.1
    power: float = 0.5


@dataclass(frozen=True, slots=True)
class Lessons:
    """The pairs, as tensors on the device.

    Attributes:
        queries: Bags of tokens.
        passages: Bags of tokens.
        teacher_queries: float16 [pairs, 384], or None.
        teacher_passages: float16 [pairs, 384], or None.
        groups: int64 [pairs]: texts that resemble each other have the same.
    """

    queries: DeviceBags
    passages: DeviceBags
    teacher_queries: torch.Tensor | None
    teacher_passages: torch.Tensor | None
    groups: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.groups)


class DeviceBags:
    """`Bags` where the computation is."""

    def __init__(self, bags: Bags, device: str) -> None:
        self.ids = torch.from_numpy(bags.ids).to(device)
        self.counts = torch.from_numpy(bags.counts).to(device)
        self.offsets = torch.from_numpy(bags.offsets).to(device)

    def take(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the ids, the counts and the offsets of some texts."""
        starts, ends = self.offsets[rows], self.offsets[rows + 1]
        lengths = ends - starts
        begins = torch.cumsum(lengths, 0) - lengths
        shifts = torch.repeat_interleave(starts - begins, lengths)
        entries = torch.arange(len(shifts), device=rows.device) + shifts
        return self.ids[entries], self.counts[entries], begins


class Student(torch.nn.Module):
    """A table of vectors, and the logarithm of what each weighs."""

    def __init__(self, table: Vectors, power: float) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.from_numpy(table.copy()))
        self.weights = torch.nn.Parameter(torch.zeros(len(table)))
        self._power = power

    def forward(self, bags: DeviceBags, rows: torch.Tensor, dropout: float) -> torch.Tensor:
        """Embed texts to [len(rows), dimension], each of length 1."""
        ids, counts, begins = bags.take(rows)
        weights = counts**self._power * torch.exp(self.weights)[ids]
        if dropout:
            weights = weights * (torch.rand_like(weights) >= dropout)
        summed = functional.embedding_bag(
            ids, self.table, begins.to(ids.dtype), mode="sum", per_sample_weights=weights
        )
        return functional.normalize(summed, dim=1)

    @torch.no_grad()
    def learnt(self) -> Vectors:
        """Return the vectors times their weights: float32 [tokens, dimension]."""
        table: Vectors = (self.table * torch.exp(self.weights)[:, None]).cpu().numpy()
        return table


def learn(
    table: Vectors,
    courses: Sequence[Lessons],
    settings: Settings,
    device: str = "cpu",
    seed: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
) -> Vectors:
    """Fine-tune a table of vectors.

    Args:
        table: float32 [tokens, dimension].
        courses: What to learn from, by turns: pairs of which the teacher's vectors are known, and
            others.
        settings: How.
        device: "cpu" or "cuda".
        seed: Of the order of pairs, and of what is dropped.
        on_epoch: Told its number and its mean loss.

    Returns:
        float32 [tokens, dimension].
    """
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    # Vectors of length 1 on average, so that a rate means the same whatever the table's scale.
    scale = float(np.linalg.norm(table, axis=1).mean())
    student = Student(table / np.float32(scale), settings.power).to(device)
    optimiser = torch.optim.Adam(
        [
            {"params": [student.table], "lr": settings.rate},
            {"params": [student.weights], "lr": 5 * settings.rate},
        ],
        betas=(0.9, 0.99),
    )
    steps = settings.epochs * sum(len(lessons) // settings.batch for lessons in courses)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate_at(step, steps))
    for epoch in range(settings.epochs):
        losses = []
        for lessons, rows in _turns(courses, settings, chance):
            loss = loss_of(student, lessons, torch.from_numpy(rows).to(device), settings)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.detach())
        if on_epoch:
            on_epoch(epoch, float(torch.stack(losses).mean()))
    return student.learnt()


def loss_of(
    student: Student, lessons: Lessons, rows: torch.Tensor, settings: Settings
) -> torch.Tensor:
    """Return the loss of one batch."""
    queries = student(lessons.queries, rows, settings.dropout)
    passages = student(lessons.passages, rows, settings.dropout)
    similar = queries @ passages.T
    logits = similar / settings.temperature
    right = torch.arange(len(rows), device=rows.device)
    loss = (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)) / 2
    if lessons.teacher_queries is not None and lessons.teacher_passages is not None:
        taught = lessons.teacher_queries[rows].float() @ lessons.teacher_passages[rows].float().T
        loss = loss + settings.teacher_weight * _divergence(similar, taught, settings)
    return loss


def _divergence(similar: torch.Tensor, taught: torch.Tensor, settings: Settings) -> torch.Tensor:
    """Return how far the student's similarities are from the teacher's, over the batch."""
    student, teacher = (s / settings.teacher_temperature for s in (similar, taught))
    ways = [
        functional.kl_div(
            functional.log_softmax(student, dim), functional.log_softmax(teacher, dim),
            reduction="sum", log_target=True,
        )
        for dim in (0, 1)
    ]  # fmt: skip
    return (ways[0] + ways[1]) / (2 * len(similar))


def _turns(
    courses: Sequence[Lessons], settings: Settings, chance: np.random.Generator
) -> list[tuple[Lessons, npt.NDArray[np.int64]]]:
    """Return all batches of all courses, in random order."""
    turns = [
        (lessons, rows) for lessons in courses for rows in batches(lessons.groups, settings, chance)
    ]
    return [turns[i] for i in chance.permutation(len(turns))]


def batches(
    groups: npt.NDArray[np.int64], settings: Settings, chance: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the rows of each batch: blocks of one group, in random order."""
    order = chance.permutation(len(groups))
    if settings.block > 1:
        order = order[np.argsort(groups[order], kind="stable")]
        blocks = math.ceil(len(order) / settings.block)
        cuts = np.array_split(order, blocks)
        order = np.concatenate([cuts[i] for i in chance.permutation(blocks)])
    for start in range(0, len(order) - settings.batch + 1, settings.batch):
        yield order[start : start + settings.batch]


def _rate_at(step: int, steps: int) -> float:
    """Return the share of the learning rate: up over the first twentieth, then down to nothing."""
    warm = max(1, steps // 20)
    return min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))
