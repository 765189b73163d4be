"""Compares converted pairs with `transformers`, which computes from the original files.

    python benchmarks/transformers_agreement.py VOCABULARY [--shape NAME] [--keep FOLDER]

VOCABULARY as for `random_originals.py`, which writes a small Gemma 4 and its assistant first.
`gemma-mtp convert --type F32` makes a pair of them. Then, for texts longer than the sliding window:

- the target's logits at every position, and which token is the likeliest;
- three drafts behind every position: the assistant's logits, from the same token, hidden state and
  cache, and the tokens that follow from them;
- how many drafts are accepted at each place, in a text that llama.cpp writes and in one that
  `transformers` writes by the same rounds, at temperature 0 and 1.

Ends with status 1 where logits differ by more than 1e-3 or a likeliest token is another one, but
for ties that are nearer than that, or where acceptance differs by more than chance explains. Needs
what `gemma-mtp[convert]` installs.

In two things the reference is told to do as llama.cpp does. A drafter's sliding layers see as many
tokens as the window has, its own among them; `transformers` shows them some more at the far end,
how many depends on how the text before was evaluated. And llama.cpp looks GELU up in a table of
16-bit numbers; how far logits are apart without that is printed, too.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Gemma4AssistantForCausalLM, Gemma4ForCausalLM

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from random_originals import SHAPES, write

from gemma_mtp.api import LoadOptions, PairFiles, Sampling
from gemma_mtp.decoding.draft_policy import FixedDraft
from gemma_mtp.decoding.drafters import DraftModel, MtpDrafter
from gemma_mtp.decoding.proposer import DraftTemperature, Proposer
from gemma_mtp.decoding.round import Speculator, Target
from gemma_mtp.decoding.sampler import Sampler, capped
from gemma_mtp.decoding.transcript import Tokens, Transcript
from gemma_mtp.llama import LoadedPair, load_pair

ROOT = Path(__file__).parent.parent
Array = NDArray[np.float32]
DRAFTS = 3
CLOSE = 1e-3  # the most that logits may differ by
CHANCE = 4.0  # standard errors that acceptance may differ by
BOS = 2


class Reference:
    """The originals in `transformers`, as the target and the drafter of our rounds."""

    def __init__(self, target: Path, assistant: Path) -> None:
        self.model = Gemma4ForCausalLM.from_pretrained(target, dtype=torch.float32).eval()
        self.drafter = Gemma4AssistantForCausalLM.from_pretrained(
            assistant, dtype=torch.float32
        ).eval()
        self.ids: list[int] = []

    def use_table(self) -> None:
        """Compute GELU as llama.cpp does from now on."""
        for model in (self.model, self.drafter):
            for module in model.modules():
                if hasattr(module, "act_fn"):
                    module.act_fn = TableGelu()

    def run(self, ids: list[int], outputs: int = 0) -> tuple[Array, Any]:
        """Logits of the last `outputs` positions (0: of all), and what the assistant reads."""
        with torch.no_grad():
            out = self.model(
                torch.tensor([ids]), output_hidden_states=True, return_shared_kv_states=True,
                use_cache=True,
                logits_to_keep=outputs,
            )  # fmt: skip
        return out.logits[0].numpy(), out

    # --- a target, as rounds want it; it computes everything anew each time ----------------------

    def decode(self, tokens: list[int], position: int, outputs: int) -> Array:
        self.ids = [*self.ids[:position], *tokens]
        rows, self._out = self.run(self.ids, outputs)
        self._first = len(self.ids) - outputs
        return rows.copy()

    def hidden(self, row: int) -> Array:
        found: Array = self._out.hidden_states[-1][0, self._first + row].numpy()
        return found

    def keep(self, length: int) -> None:
        del self.ids[length:]

    # --- a drafter -------------------------------------------------------------------------------

    def begin(self, hidden: Array, position: int) -> None:
        self._hidden = torch.from_numpy(np.array(hidden))[None, None]
        self._position = torch.tensor([[position]])
        window = self.model.config.sliding_window - 1  # the drafter's own token is the last
        self._cache = {}
        for kind, states in self._out.shared_kv_states.items():
            first = max(position - window, 0) if kind == "sliding_attention" else 0
            self._cache[kind] = tuple(state[:, :, first:position] for state in states)

    def step(self, token: int) -> Array:
        with torch.no_grad():
            embedding = self.model.get_input_embeddings()(torch.tensor([[token]]))
            out = self.drafter(
                inputs_embeds=torch.cat([embedding, self._hidden], dim=-1),
                position_ids=self._position, shared_kv_states=self._cache,
            )  # fmt: skip
        self._hidden = out.last_hidden_state
        row: Array = out.logits[0, 0].numpy().copy()
        return row


class TableGelu(torch.nn.Module):
    """GELU as ggml's table has it: of a number in 16 bits, in 16 bits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = torch.nn.functional.gelu(x.half().float(), approximate="tanh").half().float()
        return torch.where(x <= -10, torch.zeros_like(x), torch.where(x >= 10, x, found))


class Differences:
    """Of rows that should be the same."""

    def __init__(self, what: str) -> None:
        self.what, self.rows, self.other, self.ties, self.largest = what, 0, 0, 0, 0.0

    def add(self, ours: Array, theirs: Array) -> None:
        self.rows += 1
        self.largest = max(self.largest, float(np.abs(ours - theirs).max()))
        mine, other = int(ours.argmax()), int(theirs.argmax())
        if mine != other:
            near = abs(float(theirs[mine] - theirs[other])) < CLOSE
            self.ties, self.other = self.ties + near, self.other + (not near)

    @property
    def failed(self) -> bool:
        return self.largest > CLOSE or self.other > 0

    def __str__(self) -> str:
        ties = f", {self.ties} nearer than {CLOSE}" if self.ties else ""
        return (
            f"{self.what}: {self.rows} rows, largest difference {self.largest:.1e}, "
            f"{self.other} other likeliest tokens{ties}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vocabulary", type=Path)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--tokens", type=int, default=120, help="of each text")
    parser.add_argument("--rounds", type=int, default=150, help="for acceptance")
    parser.add_argument("--keep", type=Path, help="a folder for originals and pairs")
    parser.add_argument("--llama-cpp", help="a checkout of llama.cpp with the converter")
    args = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as made:
        folder = args.keep or Path(made)
        for shape in args.shape or SHAPES:
            failed |= compare(folder, shape, args)
    sys.exit(1 if failed else 0)


def compare(folder: Path, shape: str, args: argparse.Namespace) -> bool:
    """One shape; whether something differs."""
    torch.set_num_threads(2)
    places = folder / shape, folder / f"{shape}-assistant"
    if not places[0].is_dir():
        write(folder, args.vocabulary, shape)
    files = converted(folder, shape, args.llama_cpp)
    reference = Reference(*places)
    print(f"{shape}: {reference.model.num_parameters():,} weights in the target", flush=True)
    with closing(
        load_pair(files, LoadOptions(context=1024, threads=2, kv_type="f32", flash_attn="off"))
    ) as ours:
        for difference in rows(ours, reference, args.tokens):
            print(f"  GELU in 32 bits: {difference}", flush=True)
        reference.use_table()
        found = [*rows(ours, reference, args.tokens)]
        for difference in found:
            print(f"  {difference}", flush=True)
        failed = any(difference.failed for difference in found)
        for temperature in (0.0, 1.0):
            failed |= acceptance(ours, reference, temperature, args.rounds)
    return failed


def converted(folder: Path, shape: str, llama_cpp: str | None) -> PairFiles:
    """What `gemma-mtp convert` makes."""
    home = folder / "home"
    command = [sys.executable, "-m", "gemma_mtp", "convert", str(folder / shape), "--yes", "-q"]
    command += ["--type", "F32", "--name", shape]
    command += ["--llama-cpp", llama_cpp] if llama_cpp else []
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "GEMMA_MTP_HOME": str(home)}
    subprocess.run(command, env=env, check=True)
    pair = home / "cache" / "models" / f"local-{shape}"
    return PairFiles(shape, pair / f"{shape}-F32.gguf", pair / f"mtp-{shape}-F32.gguf")


def rows(ours: LoadedPair, reference: Reference, tokens: int) -> Iterator[Differences]:
    """Logits of the target, and of the drafter behind every position of a text."""
    assert ours.drafter is not None
    size = ours.target.vocabulary.size
    ids = [BOS, *np.random.default_rng(4).integers(300, size, tokens - 1).tolist()]
    theirs, out = reference.run(ids)
    reference._out, reference._first = out, 0
    ours.target.keep(0)
    target, drafts = Differences("target"), Differences("drafts")
    for position, token in enumerate(ids):
        row = ours.target.decode([token], position, 1)[0]
        target.add(capped(row, ours.target.softcap), theirs[position])
        hidden = np.array(ours.target.hidden(0))
        following = int(theirs[position].argmax())
        ours.drafter.begin(hidden, position + 1)
        begin_behind(reference, position)
        for _ in range(DRAFTS):
            mine, other = ours.drafter.step(following).copy(), reference.step(following)
            drafts.add(mine, other)
            following = int(other.argmax())
    yield target
    yield drafts


def begin_behind(reference: Reference, position: int) -> None:
    """A draft from the hidden state at `position`, whose token comes next."""
    reference.begin(reference.hidden(position), position + 1)


def acceptance(ours: LoadedPair, reference: Reference, temperature: float, rounds: int) -> bool:
    """Drafts accepted at each place by both; whether they differ by more than chance explains."""
    print(f"  acceptance at temperature {temperature:g}, {rounds} rounds of {DRAFTS} drafts:")
    counts = []
    for name, target, drafter, softcap in (
        ("llama.cpp", ours.target, ours.drafter, ours.target.softcap),
        ("transformers", reference, reference, 0.0),
    ):
        assert drafter is not None
        counts.append(accepted(target, drafter, temperature, softcap, rounds))
        shares = [f"{right} of {asked}" for right, asked in counts[-1]]
        print(f"    {name:13}{'; '.join(shares)}", flush=True)
    return any(differ(*pair) for pair in zip(*counts, strict=True))


def accepted(
    target: Target, drafter: DraftModel, temperature: float, softcap: float, rounds: int
) -> list[tuple[int, int]]:
    """At each place of a draft: how many were accepted, of those whose forerunners were."""
    sampling = Sampling(temperature=temperature, top_k=0, top_p=1.0)
    sampler = Sampler(sampling, 7, softcap)
    found = [[0, 0] for _ in range(DRAFTS)]
    prompt = [BOS, 1000, 2000, 3000]
    transcript = Transcript([Tokens(tuple(prompt))])
    target.keep(0)
    target.decode(prompt[:-1], 0, 1)
    mtp = MtpDrafter(drafter, Proposer(sampler, DraftTemperature()))
    speculator = Speculator(target, [mtp], sampler, transcript, np.array(target.hidden(0)), ())
    transcript.cached = len(prompt) - 1
    policy = FixedDraft(DRAFTS)
    for _ in range(rounds):
        right = speculator.round(policy, DRAFTS).accepted
        for place in range(min(right + 1, DRAFTS)):
            found[place][0] += place < right
            found[place][1] += 1
    return [(right, asked) for right, asked in found]


def differ(ours: tuple[int, int], theirs: tuple[int, int]) -> bool:
    """Whether two shares are further apart than chance explains."""
    if not ours[1] or not theirs[1]:
        return False
    p = (ours[0] + theirs[0]) / (ours[1] + theirs[1])
    error = math.sqrt(p * (1 - p) * (1 / ours[1] + 1 / theirs[1]))
    return abs(ours[0] / ours[1] - theirs[0] / theirs[1]) > CHANCE * error + 1e-9


if __name__ == "__main__":
    main()
