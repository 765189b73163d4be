"""The page of `bench --report`: a table and a JSON object to be shared, with nothing private.

What is in it is listed here and nowhere else: kinds of hardware and software, shapes and figures.
Names of users, hosts, folders and files, and texts, are never looked at.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gemma_mtp import __version__
from gemma_mtp.api import DeviceChoice, from_json, to_json
from gemma_mtp.measure.bench.report import costs_json, noise, plain_step, results_json
from gemma_mtp.measure.bench.report_runs import Measured, in_words
from gemma_mtp.measure.bench.results import Results
from gemma_mtp.measure.provenance import weights
from gemma_mtp.models.catalogue import load_catalogue
from gemma_mtp.models.gguf import read_header
from gemma_mtp.models.machine import cpu_name
from gemma_mtp.models.temporary_pair import is_temporary
from gemma_mtp.text import byte_size, counted, json_text, percent

if TYPE_CHECKING:
    from gemma_mtp.api import LoadOptions, PairFiles, PairInfo
    from gemma_mtp.models.machine import Device, Machine

FORMAT = 1  # of the JSON object


def about_machine(machine: Machine, llama: tuple[str, str]) -> dict[str, Any]:
    """On what and when it was measured. `llama` are versions of llama-cpp-python and llama.cpp."""
    return {
        "gpus": [_about_gpu(gpu) for gpu in machine.gpus],
        "cpu": cpu_name(),
        "cores": machine.cores,
        "memory_bytes": machine.memory_total,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {
            "gemma_mtp": __version__,
            "llama_cpp_python": llama[0],
            "llama_cpp": llama[1],
            "python": platform.python_version(),
        },
        "date": datetime.now(UTC).date().isoformat(),
    }


def _about_gpu(gpu: Device) -> dict[str, Any]:
    """Of a device in another machine the name and the description are that machine's address."""
    backend = re.match("[A-Za-z]*", gpu.name)
    kind = backend[0] if backend else ""
    return {"name": kind if kind == "RPC" else gpu.description, "with": kind, "bytes": gpu.total}


def about_pair(files: PairFiles, info: PairInfo, options: LoadOptions, name: str) -> dict[str, Any]:
    """A loaded pair and where it lies. `name` is said only if gemma-mtp itself knows it."""
    header = read_header(files.target)
    placement = info.placement
    return {
        "model": name if load_catalogue().find(name) else "",
        "random_weights": is_temporary(files.target),
        "parameters": info.target_parameters,
        "drafter_parameters": info.drafter_parameters,
        "weights": weights(header),
        "drafter_weights": weights(read_header(files.drafter)) if files.drafter else "",
        "bytes": sum(file.stat().st_size for file in header.files),
        "context_size": info.context_size,
        "threads": info.threads,
        "gpu_layers": info.gpu_layers,
        "layers": placement.of,
        "cpu_experts": placement.cpu_experts,
        "kv_type": options.kv_type,
        "flash_attention": options.flash_attn,
        "device_choice": to_json(info.device_choice),
    }


def as_json(machine: Mapping[str, Any], pairs: Sequence[Measured]) -> dict[str, Any]:
    """The object that is shared."""
    return {"report": FORMAT, "machine": machine, "pairs": [_pair_json(pair) for pair in pairs]}


def _pair_json(pair: Measured) -> dict[str, Any]:
    return {
        **pair.about,
        "costs": costs_json(pair.costs) if pair.costs and pair.costs.verify else None,
        "host_share": None if pair.host_share is None else round(pair.host_share, 4),
        "at": [
            {"acceptance": acceptance, **results_json(results)}
            for acceptance, results in pair.by_acceptance.items()
        ],
        "skipped": pair.skipped,
    }


def page(machine: Mapping[str, Any], pairs: Sequence[Measured]) -> str:
    """Markdown: the machine, a table for each pair, and the object."""
    lines = [_machine_in_words(machine), ""]
    for pair in pairs:
        lines += [*_pair_lines(pair), ""]
    return "\n".join([*lines, "```json", json_text(as_json(machine, pairs)), "```"])


def _machine_in_words(machine: Mapping[str, Any]) -> str:
    gpus = [f"{gpu['name']} ({gpu['with']}, {byte_size(gpu['bytes'])})" for gpu in machine["gpus"]]
    memory = machine["memory_bytes"]
    room = f", {byte_size(memory)}" if memory else ""
    versions = machine["versions"]
    where = " + ".join(gpus) if gpus else "no GPU"
    return (
        f"{where}; {machine['cpu']}, {counted(machine['cores'], 'core')}{room}; "
        f"{machine['system']}; gemma-mtp {versions['gemma_mtp']}, llama.cpp "
        f"{versions['llama_cpp']}; {machine['date']}"
    )


def _pair_lines(pair: Measured) -> list[str]:
    about, columns = pair.about, list(pair.by_acceptance)
    model = about["model"] or f"a Gemma 4 of {_count(int(str(about['parameters'])))} parameters"
    place = f"{about['gpu_layers']} layers on the GPU" if about["gpu_layers"] else "on the CPU"
    if about["cpu_experts"]:
        place += f", the experts of {about['cpu_experts']} on the CPU"
    kind = "random weights, " if about["random_weights"] else ""
    lines = [f"**{model}, {kind}{about['weights']}**, {place}", ""]
    heads = ["draft", *(in_words(acceptance) for acceptance in columns)]
    lines += [_row(heads), _row(["---"] * len(heads))]
    drafts = dict.fromkeys(d for results in pair.by_acceptance.values() for d in results.drafts)
    for draft in drafts:
        lines.append(_row([draft, *(_cell(pair.by_acceptance[at], draft) for at in columns)]))
    best = (pair.by_acceptance[at].auto_vs_best for at in columns)
    lines.append(_row(["auto / best fixed", *("-" if b is None else f"{b:.2f}" for b in best)]))
    below = [*_choice_in_words(about), *_costs_in_words(pair), *_noise_in_words(pair)]
    return [*lines, "", *below, *pair.skipped]


def _count(parameters: int) -> str:
    if parameters < 1e9:
        return f"{parameters / 1e6:.0f} million"
    return f"{parameters / 1e9:.1f} billion"


def _choice_in_words(about: Mapping[str, Any]) -> list[str]:
    choice: DeviceChoice = from_json(DeviceChoice, about["device_choice"])
    return [f"Fastest there: {choice.in_words}."] if choice.in_words else []


def _cell(results: Results, draft: str) -> str:
    """Tokens per second, and times plain decoding."""
    if draft not in results.drafts:
        return "-"
    found = results[draft]
    speedup = f" ({found.speedup:.2f})" if found.speedup is not None and draft != "off" else ""
    return f"{found.tokens_per_second:.1f}{speedup}"


def _costs_in_words(pair: Measured) -> list[str]:
    costs = pair.costs
    if costs is None or not costs.verify:
        return []
    step = plain_step(costs)
    widths = ", ".join(f"{w}: {s / step:.2f}" for w, s in sorted(costs.verify.items()) if w > 1)
    host = f"; outside llama.cpp {percent(pair.host_share)}" if pair.host_share is not None else ""
    return [
        "tok/s, and times plain decoding. In a column with a number each draft was accepted with "
        "that chance.",
        f"A plain step takes {step * 1e3:.2f} ms{host}; plain steps by width: {widths}; "
        f"a draft {costs.draft_step / step:.2f}.",
    ]


def _noise_in_words(pair: Measured) -> list[str]:
    """That of the column with most, where figures say little for it: they are to be shared."""
    busy = [results.noise or 0.0 for results in pair.by_acceptance.values() if results.busy]
    return [noise(max(busy))] if busy else []


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
