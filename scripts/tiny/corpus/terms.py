"""Terms of speculative decoding in the training text: true statements."""

from __future__ import annotations

from corpus.base import Exchange, Rng, pick, pool, sheet
from corpus.usage import QUESTIONS

_WHAT = pool("""
    What is {x}? | what is {x} | Explain {x}. | explain {x} | What does {x} mean? | Tell me about
    {x}. | whats {x} | Can you explain {x}? | {x}? | define {x} | What do you mean by {x}? | How
    does {x} work? | I do not understand {x}. | what exactly is {x}? | describe {x} | {x} explained
    | please explain {x} to me | what's {x}?
""")
_CONCEPTS = sheet("""
    ? speculative decoding | speculative decoding | speculative decoding | spec decoding |
      speculation | speculative execution here
    ! Speculative decoding lets a small drafter guess several tokens ahead. The big target model
      checks all guesses in one step and keeps the ones it agrees with. | In speculative decoding a
      small model drafts a few tokens and the big model verifies them together. Accepted tokens cost
      only one big step, so writing gets faster.

    ? a drafter | the drafter | a draft model | the draft model | drafter | drafting
    ! The drafter is a small, quick model. It guesses the next few tokens so that the target can
      check them all at once.

    ? the target | a target model | the target model | target model | the big model
    ! The target is the model whose text you read. It checks every token that the drafter suggests.

    ? the draft length | draft length | the number of draft tokens | k
    ! The draft length is how many tokens the drafter guesses in each round. Longer drafts win more
      when they are right and waste more when they are wrong.

    ? the acceptance rate | acceptance rate | acceptance | the accept rate
    ! The acceptance rate is the share of drafted tokens that the target agrees with. A higher rate
      means a bigger speedup.

    ? the mean accepted length | mean accepted length | accepted length | the average accepted
      length
    ! The mean accepted length is how many tokens one round yields on average: the accepted guesses
      plus one token from the target itself.

    ? verification | the verify step | verifying | verify | the check by the target
    ! In the verify step the target reads all drafted tokens in one pass and keeps them up to the
      first one it would not have written.

    ? the KV cache | KV cache | a KV cache | the cache | kv cache
    ! The KV cache stores the keys and values of tokens the model has already read, so it does not
      have to compute them again.

    ? MTP | mtp | multi-token prediction | an MTP head | the MTP drafter | an MTP drafter
    ! MTP means multi-token prediction. The Gemma 4 MTP drafter is a small network that uses the
      target's own state and cache to guess several tokens ahead.

    ? a token | tokens | a token in a model | the word token
    ! A token is a small piece of text, often a word or a part of one. A model reads and writes text
      token by token.

    ? temperature | the temperature | --temperature | sampling temperature
    ! Temperature sets how daring the choice of the next token is. At 0 the most likely token is
      always taken; higher values give more variety.

    ? a seed | the seed | --seed | the random seed
    ! The seed starts the random numbers. With the same seed, settings and prompt you get the same
      text again.

    ? greedy decoding | greedy | greedy sampling
    ! Greedy decoding always takes the most likely next token. You get it with --temperature 0.

    ? a round | one round of speculation | a speculative round
    ! In one round the drafter guesses a few tokens, the target checks them in one pass, and the
      accepted ones are printed together with one token of the target.

    ? thinking mode | thinking | the thought channel | a thought channel
    ! With thinking on, a model writes a short thought first and the answer after it.

    ? a language model | an LLM | a large language model | an llm | a model
    ! A language model is a program that has learned from text which word is likely to come next.

    ? a parameter | parameters | model weights | weights
    ! Parameters are the numbers inside a model that were set in training. I have about 15 million;
      real models have billions.

    ? quantization | quantisation | a quantized model | Q4 | Q8
    ! Quantization stores the weights of a model with fewer bits. The model gets smaller and faster
      and loses a little quality.

    ? llama.cpp | the llama.cpp engine | your engine | the backend
    ! llama.cpp is the engine that runs the models. gemma-mtp drives it and shows how much
      speculative decoding helps.

    ? GGUF | a GGUF file | gguf | the gguf format
    ! GGUF is a file format that holds a model's weights and its vocabulary. llama.cpp reads it.

    ? the context window | a context window | context length | the context
    ! The context window is how much text a model can see at once: your messages and its own
      answers.

    ? a sliding window | sliding window attention | the sliding window
    ! Layers with a sliding window look only at the latest tokens. They need less memory than layers
      that look at everything.

    ? rejection sampling | the rejection of a token | rejected tokens | a rejected token
    ! When the target does not agree with a drafted token, that token and the ones after it are
      thrown away, and the target writes its own token there.

    ? the speedup | speedup | speed up | the speed gain
    ! The speedup is the speed with the drafter divided by the speed without it. Two means twice as
      fast.
""")


def concept(rng: Rng) -> Exchange:
    """A term of speculative decoding or of the program."""
    topic = rng.choice(_CONCEPTS[:9] if rng.random() < 0.45 else _CONCEPTS)
    name = pick(rng, topic.asks)
    user = pick(rng, _WHAT).replace("{x}", name)
    head = Exchange(
        user, pick(rng, topic.answers), f"The user asks about {topic.asks[0]}. I explain it simply."
    )
    if rng.random() < 0.12:
        follow = rng.choice(QUESTIONS[3:6])
        head.more.append(
            Exchange(
                pick(rng, follow.asks),
                pick(rng, follow.answers),
                "This is about speculative decoding.",
            )
        )
    return head
