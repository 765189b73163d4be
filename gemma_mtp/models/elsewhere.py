"""The same pair in other programs: commands of llama-server and vLLM, and a Modelfile of Ollama.

`export-command` prints them. Pure: works on files and settings. Flags are those of the llama.cpp
that is pinned here (common/arg.cpp), of vLLM 0.21 and later, and of Ollama's parser/parser.go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gemma_mtp.api import DEFAULT_CONTEXT, PairFiles
from gemma_mtp.models import gguf_names
from gemma_mtp.models.catalogue import Original
from gemma_mtp.models.modelfile import quoted
from gemma_mtp.options import Options
from gemma_mtp.text import counted, json_text

USUAL_DRAFT = 3  # tokens; llama.cpp's own default, where nothing is known of this machine
# llama.cpp's own order ends with the temperature; here it comes before the likeliest are kept.
SAMPLERS = "penalties;top_k;temperature;top_p;min_p"
DRAFT_IN_OLLAMA = "0.32.15"  # the version in which others saw a Gemma 4 drafter at work


@dataclass(frozen=True)
class Exported:
    """What another program is given: the words of a `command`, or a `modelfile`.

    `notes` are sentences about what that program cannot be told, or does otherwise.
    """

    command: tuple[str, ...] = ()
    modelfile: str = ""
    notes: tuple[str, ...] = ()


def draft_length(files: PairFiles, options: Options, paid: int | None) -> tuple[int, str]:
    """How many tokens to draft a round, and a sentence about where that comes from.

    `paid` is what paid in the last chat on this machine, None where that is not known.
    """
    if files.drafter is None:
        return 0, "There is no drafter here for this model, so none is used there."
    if options.draft == 0:
        return 0, "No drafter is used there, as --draft says."
    if options.draft != "auto":
        return options.draft, _fixed(options.draft, "as --draft says")
    if paid == 0:
        return 0, (
            "Drafts did not pay in the last chat here, so no drafter is used there; --draft "
            f"{USUAL_DRAFT} puts it in."
        )
    if paid is None:
        return USUAL_DRAFT, _fixed(USUAL_DRAFT, "as usual: what pays here is known after a chat")
    return paid, _fixed(paid, "as paid in the last chat here")


def _fixed(draft: int, why: str) -> str:
    return f"{counted(draft, 'draft')} a round, {why}. There it does not change while running."


def for_llama_server(
    files: PairFiles, options: Options, draft: int, host: str, port: int
) -> Exported:
    """A command for the llama-server of the llama.cpp that is pinned here; `draft` 0 leaves the
    drafter out."""
    words = ["llama-server", "-m", str(files.target)]
    if draft:
        words += ["-md", str(files.drafter), "--spec-type", "draft-mtp"]
        words += ["--spec-draft-n-max", str(draft)]
    words += ["--mmproj", str(files.encoder)] if files.encoder else []
    words += [*_llama_loading(options, draft), *_llama_sampling(options)]
    words += ["--alias", files.called, "--host", host, "--port", str(port)]
    notes = [*_lookup(draft), *_exact(options), *_sent_by_clients(options)]
    notes += _chosen_there(options.gpu_memory and "--gpu-memory")
    if files.opening:
        notes.append("The first messages of the preset are not carried over: clients send those.")
    return Exported(tuple(words), notes=tuple(notes))


def _chosen_there(*given: object) -> list[str]:
    """What a program that places a model by itself cannot be told of `given` flags."""
    flags = " and ".join(str(flag) for flag in given if flag)
    return [f"{flags} cannot be told: what goes to the GPU is chosen there."] if flags else []


def _llama_loading(options: Options, draft: int) -> list[str]:
    words = ["-c", str(options.context or DEFAULT_CONTEXT)]
    words += ["-ctk", options.kv_type, "-ctv", options.kv_type, "-fa", options.flash_attn]
    if options.gpu_layers is not None:
        layers = "all" if options.gpu_layers < 0 else str(options.gpu_layers)
        words += ["-ngl", layers, *(["-ngld", layers] if draft else [])]
    if options.cpu_experts is not None:
        some = ["-ncmoe", str(options.cpu_experts)]
        words += ["-cmoe"] if options.cpu_experts < 0 else some
    if options.threads is not None:
        words += ["-t", str(options.threads)]
    return words


def _llama_sampling(options: Options) -> list[str]:
    words = ["--temp", f"{options.temperature:g}", "--top-k", str(options.top_k)]
    words += ["--top-p", f"{options.top_p:g}", "--min-p", f"{options.min_p:g}"]
    words += ["--repeat-penalty", f"{options.repeat_penalty:g}"]
    words += ["--repeat-last-n", str(options.repeat_last_n), "--samplers", SAMPLERS]
    words += ["--reasoning", "on" if options.thinks else "off"]
    if options.thinks and options.think_budget is not None:
        words += ["--reasoning-budget", str(options.think_budget)]
    if options.max_tokens is not None:
        words += ["-n", str(options.max_tokens)]
    if options.seed is not None:
        words += ["--seed", str(options.seed % 2**32)]  # it holds no longer ones
    return words


def for_vllm(name: str, original: Original, options: Options, host: str, port: int) -> Exported:
    """A command for `vllm serve`, with the model's original weights and their drafter."""
    words = ["vllm", "serve", original.repo, "--served-model-name", name]
    words += ["--host", host, "--port", str(port)]
    words += ["--max-model-len", str(options.context or DEFAULT_CONTEXT)]
    draft = original.draft if options.draft == "auto" else options.draft
    if draft:
        drafts = {"method": "mtp", "model": original.drafter, "num_speculative_tokens": draft}
        words += ["--speculative-config", json_text(drafts)]
    words += ["--override-generation-config", json_text(_generation(options))]
    if options.think:
        words += ["--reasoning-parser", "gemma4"]
        words += ["--default-chat-template-kwargs", json_text({"enable_thinking": True})]
    notes = [
        f"{original.repo} holds the weights in 16 bits; those here are quantized, and smaller.",
        "vLLM 0.21 or later knows these drafters.",
    ]
    if options.draft == "auto":
        notes.append(f"{draft} drafts a round are what suits this size on a large GPU.")
    if ours := [flag for flag, given in _NOT_IN_VLLM.items() if given(options)]:
        notes.append(f"Not carried over, since vLLM goes about it otherwise: {', '.join(ours)}.")
    notes += [*_exact(options), *_sent_by_clients(options)]
    return Exported(tuple(words), notes=tuple(notes))


def for_ollama(files: PairFiles, options: Options, draft: int) -> Exported:
    """A Modelfile; `draft` 0 leaves the drafter out."""
    lines = [f"FROM {part}" for part in gguf_names.parts_of(files.target)]
    lines += [f"FROM {files.encoder}"] if files.encoder else []
    if files.drafter and draft:
        lines += [f"DRAFT {part}" for part in gguf_names.parts_of(files.drafter)]
        lines.append(f"PARAMETER draft_num_predict {draft}")
    numbers = {
        "num_ctx": options.context or DEFAULT_CONTEXT,
        "num_gpu": options.gpu_layers,
        "num_thread": options.threads,
        "num_predict": options.max_tokens,
        "seed": options.seed,
        "temperature": options.temperature,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "min_p": options.min_p,
        "repeat_penalty": options.repeat_penalty,
        "repeat_last_n": options.repeat_last_n,
    }
    lines += [f"PARAMETER {key} {value}" for key, value in numbers.items() if value is not None]
    lines += [f"PARAMETER stop {quoted(text)}" for text in options.stop]
    if options.system:
        lines.append(f"SYSTEM {quoted(options.system)}")
    lines += [f"MESSAGE {said.role} {quoted(said.content)}" for said in files.opening]
    notes = _lookup(draft)
    if draft:
        notes.append(
            f"Ollama uses the drafter if it knows DRAFT for GGUF files, as {DRAFT_IN_OLLAMA} does; "
            "an older one refuses DRAFT, or leaves the drafter out."
        )
    kept = options.cpu_experts is not None and "--cpu-experts"
    notes += _chosen_there(options.gpu_memory and "--gpu-memory", kept)
    if options.kv_type != "f16":
        notes.append(f"The KV cache is set where Ollama starts: OLLAMA_KV_CACHE_TYPE="
                     f"{options.kv_type} ollama serve")  # fmt: skip
    return Exported(modelfile="\n".join(lines) + "\n", notes=(*notes, *_exact(options)))


_NOT_IN_VLLM: dict[str, Callable[[Options], bool]] = {
    "--drafter": lambda options: options.drafter is not None,
    "--kv-type": lambda options: options.kv_type != "f16",
    "--flash-attn": lambda options: options.flash_attn != "auto",
    "--gpu-layers": lambda options: options.gpu_layers is not None,
    "--cpu-experts": lambda options: options.cpu_experts is not None,
    "--gpu-memory": lambda options: options.gpu_memory is not None,
    "--threads": lambda options: options.threads is not None,
    "--seed": lambda options: options.seed is not None,
    "--think-budget": lambda options: bool(options.think_budget),
    "--repeat-last-n": lambda options: options.repeat_penalty != 1,
}


def _generation(options: Options) -> dict[str, float]:
    """vLLM's defaults of sampling; it takes -1 for "all candidates"."""
    values: dict[str, float] = {
        "temperature": options.temperature,
        "top_k": options.top_k or -1,
        "top_p": options.top_p,
        "min_p": options.min_p,
        "repetition_penalty": options.repeat_penalty,
    }
    if options.max_tokens is not None:
        values["max_new_tokens"] = options.max_tokens
    return values


def _lookup(draft: int) -> list[str]:
    return ["Drafts that are copied from the text so far are gemma-mtp's own."] if draft else []


def _exact(options: Options) -> list[str]:
    if not options.is_exact:
        return []
    return [
        "Exact mode is gemma-mtp's own: a seed gives another text there, and drafts may change it."
    ]


def _sent_by_clients(options: Options) -> list[str]:
    given = [words for name, words in _BY_CLIENTS.items() if getattr(options, name)]
    if not given:
        return []
    return [f"{' and '.join(given)} cannot be set at its start: clients send that with requests."]


_BY_CLIENTS = {"system": "The system prompt", "stop": "The texts that end a reply"}
