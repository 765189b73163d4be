"""Originals, target and assistant, become a pair of GGUF files under a name of its own.

Each model takes one or two steps: the converter writes its weights as they are, llama.cpp makes
them smaller. A step that was finished is not done again; the pair is there when both files are, and
belong together. `convert` of the command line calls it; prints nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gemma_mtp import paths
from gemma_mtp.api import PairFiles
from gemma_mtp.errors import BadPair, Cancelled, DoesNotFit, UsageError
from gemma_mtp.files import disk
from gemma_mtp.files.checksum import sha256_of
from gemma_mtp.files.folder_lock import locked
from gemma_mtp.models import gguf, local_names, pair_check, pair_record
from gemma_mtp.models.convert.originals import VOCABULARY, Originals
from gemma_mtp.models.convert.quantize import MEMORY, Kind, expected_bytes, quantize
from gemma_mtp.models.convert.step import Progress, run_step, unfinished
from gemma_mtp.models.gguf_header import TYPES
from gemma_mtp.models.pair_record import FileRecord, PairRecord

STEPS = "steps"  # folder of files between two steps
ORIGINALS = "originals"  # folder of what was downloaded, until the pair is ready
PROGRAM = 1_000_000_000  # bytes; the converter's libraries (0.8 GB), and the words of Gemma
COPIES = 7  # bytes for each weight of the largest tensor; 6.1 were measured, from bfloat16
MIXED = 1.15  # how much larger a file is than its type says: some tensors get more bits
_BITS = {name: 8 * size / block for name, block, size in TYPES.values()}


@dataclass(frozen=True)
class Job:
    """A pair to be made. `source`: where the originals are from, in words; `revision`: a commit, or
    what changes when they do."""

    name: str
    source: str
    revision: str
    stem: str
    kind: Kind

    @property
    def folder(self) -> Path:
        """Where the pair will lie."""
        return paths.models_dir() / local_names.folder_name(self.name)

    def file(self, is_drafter: bool) -> str:
        """The name of one of the two."""
        return f"{'mtp-' if is_drafter else ''}{self.stem}-{self.kind.name}.gguf"


@dataclass(frozen=True)
class Needs:
    """Bytes, about: of memory, of the disk while it goes on, and of the pair itself."""

    memory: int
    disk: int
    pair: int


def needs(models: tuple[Originals, Originals], kind: Kind) -> Needs:
    """What it takes to convert a target and its assistant."""
    made = [_quantized_bytes(model, kind) for model in models]
    between = max(0 if model.gguf_type == kind.name else model.gguf_bytes for model in models)
    memory = PROGRAM + COPIES * max(model.largest for model in models)
    return Needs(max(memory, MEMORY), sum(made) + between, sum(made))


def require_memory(needed: int, free: int | None, total: int | None) -> str:
    """A sentence where it will be tight. Raises DoesNotFit where the machine has too little."""
    if total is not None and needed > total:
        message = f"Converting takes about {needed / 1e9:.1f} GB of memory; this machine has less."
        raise DoesNotFit(message, "A pair that is converted already: gemma-mtp pull")
    if free is not None and needed > free:
        return "That is more memory than is free now; close other programs."
    return ""


def _quantized_bytes(model: Originals, kind: Kind) -> int:
    base = next(name for name in (kind.name, *_shorter(kind.name)) if name in _BITS)
    spare = 1.0 if kind.pure or kind.name in ("F32", "F16", "BF16", "Q8_0") else MIXED
    return round(model.elements * _BITS[base] / 8 * spare) + VOCABULARY


def _shorter(name: str) -> Iterator[str]:
    """Q4_K of Q4_K_M; IQ3_S of IQ3_M, which is made of it."""
    yield name.rpartition("_")[0]
    yield f"{name.rpartition('_')[0]}_S"


def ready(job: Job) -> PairFiles | None:
    """The pair, if just this one was made before. Raises UsageError where its name is taken."""
    record = pair_record.read_record(job.folder)
    if record is None:
        return None
    named = {file.path for file in record.files}
    if record.revision != job.revision or named != {job.file(False), job.file(True)}:
        raise UsageError(
            f"{job.name} is here already, made of something else.",
            f"Choose another --name, or remove it: gemma-mtp rm {job.name}",
        )
    return _files(job) if all(f.is_unchanged(job.folder) for f in record.files) else None


@contextmanager
def held(job: Job, on_wait: Callable[[], None]) -> Iterator[None]:
    """Nobody else works at this pair meanwhile. What another job left unfinished goes."""
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        with locked(job.folder, on_wait):
            before = pair_record.read_unfinished(job.folder)
            if before is not None and before.revision != job.revision:
                _remove_steps(job.folder)
            pair_record.write_unfinished(job.folder, _record(job, ()))
            yield
    except OSError as error:
        raise disk.disk_error(error, job.folder, "convert again; what is done is kept") from error


def convert(
    job: Job, models: tuple[Originals, Originals], script: Path, progress: Progress
) -> PairFiles:
    """Make both files, while the job is `held`. Raises GemmaMtpError for what fails, and Cancelled
    when `progress` says so; steps that were finished stay."""
    for model in models:
        final = job.folder / job.file(model.is_drafter)
        if not final.is_file():
            _make(job, model, final, script, progress)
    headers = [gguf.read_header(job.folder / job.file(d)) for d in (False, True)]
    pair_check.check_pair(*headers)
    files = [_recorded(job, model, progress) for model in models]
    (job.folder / pair_record.RECORD).unlink(missing_ok=True)
    pair_record.write_record(job.folder, _record(job, tuple(files)))
    (job.folder / pair_record.UNFINISHED).unlink(missing_ok=True)
    for folder in (STEPS, ORIGINALS):
        shutil.rmtree(job.folder / folder, ignore_errors=True)
    return _files(job)


def _make(job: Job, model: Originals, final: Path, script: Path, progress: Progress) -> None:
    """One model, by way of a file with its weights as they are where the type is another one."""
    direct = model.gguf_type == job.kind.name
    between = replace(job, kind=Kind(model.gguf_type)).file(model.is_drafter)
    as_is = final if direct else job.folder / STEPS / between
    as_is.parent.mkdir(exist_ok=True)
    if not as_is.is_file():
        _run_converter(job, model, as_is, script, progress)
    if not direct:
        header = gguf.read_header(as_is)
        quantize(header, final, job.kind, expected_bytes(header, job.kind), progress)
        as_is.unlink()


def _run_converter(job: Job, model: Originals, out: Path, script: Path, progress: Progress) -> None:
    disk.require_room(out.parent, model.gguf_bytes, out.name)
    words = [str(script), str(model.folder), "--outfile", str(unfinished(out))]
    words += ["--outtype", model.gguf_type.lower(), "--model-name", job.stem]

    def check(written: Path) -> None:
        header = gguf.read_parts([written])
        (pair_check.check_drafter if model.is_drafter else pair_check.check_target)(header)

    # Nothing is to be fetched in the user's back.
    env = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    log = paths.state_dir() / "convert.log"
    run_step("converting", words, out, model.gguf_bytes, progress, check, log, env)


def _recorded(job: Job, model: Originals, progress: Progress) -> FileRecord:
    path = job.folder / job.file(model.is_drafter)
    size = path.stat().st_size

    def on_read(done: int) -> None:
        if not progress("checking", path.name, done, size):
            raise Cancelled("Stopped.", "Both files are made; the same command goes on.")

    return FileRecord(
        role="drafter" if model.is_drafter else "target",
        path=path.name,
        bytes=size,
        sha256=sha256_of(path, on_read),
        quantization=job.kind.name,
        origin=f"made of {job.source}",
        time=pair_record.modified_at(path),
    )


def _record(job: Job, files: tuple[FileRecord, ...]) -> PairRecord:
    return PairRecord(job.name, job.source[-200:], job.revision, files)


def _remove_steps(folder: Path) -> None:
    shutil.rmtree(folder / STEPS, ignore_errors=True)
    for path in folder.glob("*.gguf"):
        path.unlink()


def _files(job: Job) -> PairFiles:
    return PairFiles(job.name, job.folder / job.file(False), job.folder / job.file(True))


def check_roles(target: Originals, assistant: Originals) -> None:
    """Raise BadPair unless they are one of each."""
    if target.is_drafter:
        raise BadPair(f"{target.folder} is an assistant, not the model itself.",
                      "Name the model, and its assistant with --assistant.")  # fmt: skip
    if not assistant.is_drafter:
        raise BadPair(f"{assistant.folder} is no assistant of a Gemma 4.",
                      "Google's are named like the model, with -assistant at the end.")  # fmt: skip
