"""The program and speculative decoding in use: questions and true answers of the training text."""

from __future__ import annotations

from corpus.base import Exchange, Rng, Topic, pick, pool, sheet

_LONG = "\n\n".join(
    pool("""
    Speculative decoding uses two models. The target is the big one, and its text is the text you
    read. The drafter is small and quick, and it only guesses. | Without a drafter the target writes
    one token at a time. Each token needs all of its weights, and loading them takes most of the
    time. With a drafter the target gets several guesses at once and checks them in one pass. That
    costs almost the same as a single token. | The target keeps the guesses up to the first one it
    would not have written, and puts its own token there. So every round gives at least one token,
    and often several. The text does not get worse, because the target has the last word. | How much
    faster it is depends on the acceptance rate and on the draft length. Lists, code and counting
    are easy to guess, free stories are harder. When few guesses are right, a shorter draft is
    better. gemma-mtp can choose the length by itself with --draft auto, and /stats shows what you
    gain.
""")
)
_STEPS = "\n".join(
    pool("""
    1. The drafter guesses a few tokens. | 2. The target reads them all in one pass. | 3. It keeps
    the guesses up to the first one it would not have written. | 4. It adds one token of its own. |
    5. The next round begins.
""")
)
_USE = "\n".join(
    pool("""
    1. Type gemma-mtp pull e2b to get a model. | 2. Type gemma-mtp chat to talk with it. | 3. Ask
    what you like. | 4. Type /stats to see the speed. | 5. Type /bye to leave.
""")
)
_DETAILS = [
    Topic(
        "",
        pool("""
            Explain speculative decoding in detail. | explain speculative decoding in detail | Tell
            me everything about speculative decoding. | Write a long text about speculative
            decoding. | Explain in detail how speculative decoding works. | write an article about
            speculative decoding | a long explanation of speculative decoding please | speculative
            decoding in detail | Tell me more about speculative decoding. | write an essay about
            speculative decoding | Give me a detailed explanation of speculative decoding.
        """),
        [_LONG],
    ),
    Topic(
        "",
        pool("""
            Explain speculative decoding step by step. | speculative decoding step by step | What
            are the steps of speculative decoding? | what happens in one round? | How does a round
            work? | list the steps of speculative decoding | How does speculative decoding work step
            by step? | what happens in each step
        """),
        [_STEPS],
    ),
    Topic(
        "",
        pool("""
            How do I use gemma-mtp? | how to use gemma-mtp | How do I use this program? | How do I
            start? | first steps | how do I get started? | Give me a short guide. | getting started
            | tutorial | Explain how to use gemma-mtp step by step. | how does gemma-mtp work?
        """),
        [_USE],
    ),
]
QUESTIONS = _DETAILS + sheet("""
    ? Why is speculative decoding faster? | why is it faster | Why does speculative decoding help? |
      How can it be faster with two models? | why does a drafter make it faster? | where does the
      speedup come from | Why is that faster? | how does the drafter help | How does speculative
      decoding speed things up? | why faster? | Why would two models be faster than one?
    ! A big model spends most of its time loading its weights. Checking several drafted tokens costs
      almost the same as writing one, so every accepted token is nearly free.

    ? Does speculative decoding change the text? | does the drafter change the answer? | Is the text
      the same? | Is the quality worse? | Does it change the output? | do I lose quality with a
      drafter? | is the output different with drafting | is it lossless? | Is speculative decoding
      lossless? | Are the answers worse with speculative decoding? | does it make the model dumber
    ! No. The target checks every drafted token, so the text is one the target would write itself.
      Only the speed changes.

    ? When is speculative decoding slow? | can a drafter make it slower? | Is it always faster? |
      why is it slower with the drafter | when does speculation not help? | Does speculative
      decoding always help? | why do I get no speedup? | Why is my speedup below 1?
    ! It is slower when few drafted tokens are accepted or when checking them is costly on your
      machine. Then use a shorter draft, or --draft off.

    ? What is a good draft length? | how many tokens should I draft? | Which draft length should I
      use? | what should I set for --draft | what is the best draft length | How long should the
      draft be?
    ! It depends on your machine and on the text. Use --draft auto, and gemma-mtp finds a good
      length while it runs.

    ? What happens when a draft is wrong? | what if the drafter is wrong? | what happens to wrong
      guesses | What if the guess is wrong? | Can the drafter make mistakes? | are wrong drafts a
      problem
    ! Then the target throws the wrong token away and writes its own. You lose a little time but the
      text stays right.

    ? Which text is easy to draft? | when is acceptance high? | why does the acceptance rate change?
      | which text speeds up best | Why is code faster than a story? | what text has a high
      acceptance rate? | why is counting so fast
    ! Text that is easy to guess, such as lists, counting and code, has a high acceptance rate. Free
      stories are harder to guess.

    ? How big is the drafter? | how large is a drafter | Is the drafter small? | What is the size of
      the drafter?
    ! A drafter is much smaller than its target. For Gemma 4 it has about 78 million to 0.5 billion
      parameters.

    ? Does the drafter need much memory? | how much memory does the drafter need? | does the drafter
      have its own cache? | memory of the drafter
    ! Not much. The Gemma 4 MTP drafter is small and reads the target's KV cache instead of keeping
      its own.

    ? How much faster is it? | how big is the speedup? | What speedup can I expect? | how many times
      faster | is the speedup big?
    ! It depends on the machine, the model and the text. Up to two or three times is possible, and
      sometimes there is no gain. Type /stats to see yours.

    ? What is gemma-mtp? | what is gemma-mtp | what does gemma-mtp do? | Tell me about gemma-mtp. |
      explain gemma-mtp | What is this program? | what is this tool | what does this program do? |
      what am I using? | whats gemma mtp | what is gemma mtp | tell me about this program
    ! gemma-mtp is a chat program for your own computer. It runs Gemma 4 models with their MTP
      drafters and shows how much faster they get.

    ? How do I get a real model? | How do I pull a model? | how to download gemma? | How do I
      install Gemma 4? | how can I get a better model | download a model | how do I download a
      model? | How do I use a bigger model? | is there a better model? | I want a smarter model |
      How do I get Gemma? | install gemma | pull a model | Where do I get more models? | how do I
      switch models | change model | how do I get the 12b model? | use another model
    ! Leave with /bye and type gemma-mtp pull e2b for the smallest model, or gemma-mtp pull 12b for
      a bigger one.

    ? Which models are there? | which sizes are there | what models can I use? | What sizes does
      Gemma 4 have? | list the models | what models do you support? | which models can gemma-mtp
      run? | list models | available models | show me the models
    ! The sizes are e2b, e4b, 12b, 26b-a4b and 31b. e2b is the smallest and 31b the largest.

    ? Which model should I use? | what model is best for me? | which model is best | Which size
      should I pull? | what is the best model | e2b or 12b? | which model for a laptop | What model
      fits my computer? | recommend a model
    ! Start with e2b, the smallest. If your computer has memory left, try e4b or 12b; 26b-a4b and
      31b need much more.

    ? How do I start a chat? | how do I chat? | start a chat | how to chat with a model | How do I
      open the chat? | gemma-mtp chat
    ! Type gemma-mtp chat in a terminal.

    ? How do I ask one question only? | how do I use it in a script? | what does gemma-mtp run do |
      Can I use pipes? | how do I pipe text? | Can I pipe a file into it? | how to use stdin |
      gemma-mtp run | How do I run a single prompt? | use it from the shell
    ! Use gemma-mtp run with your question, or pipe text into it, and it prints one answer and ends.

    ? How do I see the statistics? | what does /stats do? | /stats? | show statistics | where are
      the stats? | show me the stats | How do I see the speedup? | where can I see the acceptance
      rate? | how do I see tokens per second | stats
    ! Type /stats. It shows the speed, the acceptance rate, the mean accepted length and the
      speedup.

    ? How do I clear the chat? | what does /clear do? | start over | clear the history | new chat |
      how to start a new chat? | forget everything | reset | clear | How do I start again? | delete
      the chat
    ! Type /clear and the chat starts again from nothing.

    ? How do I quit? | how do I leave? | How to exit? | how do I close this | what does /bye do? |
      how can I stop the program? | how to quit | how do I get out of here
    ! Type /bye to leave the chat.

    ? Which commands are there? | list the commands | what commands do you know? | What does /help
      do? | show the commands | commands | what can I type? | which slash commands exist | How do I
      see all commands?
    ! Type /help to see all commands. The most useful are /stats, /clear and /bye.

    ? How do I turn the drafter off? | turn off drafting | how to disable speculative decoding? |
      disable the drafter | run without a drafter | Can I switch speculation off? | how to compare
      with and without drafter
    ! Start with --draft off and the target writes alone. Then compare the numbers in /stats.

    ? How do I set the draft length? | what does --draft do? | how to change the draft length | set
      draft length to 4 | What is --draft auto? | how do I use --draft | explain --draft | What
      values can --draft have?
    ! Use --draft auto to let the program choose, --draft off for none, or --draft with a number,
      such as --draft 4.

    ? How do I set the temperature? | change the temperature | how to make it less random? | how do
      I get the same answer each time? | How do I make you deterministic? | set temperature to 0 |
      how can I make answers more creative
    ! Start with --temperature and a number. 0 always gives the same text; 1 gives more variety.

    ? Is it free? | is gemma-mtp free? | what does it cost | Is this open source? | Do I have to
      pay? | what is the license?
    ! gemma-mtp is open source and free to use, and it runs on your own computer.

    ? Why are there two models? | why do you need a drafter? | What is the difference between
      drafter and target? | drafter vs target | target and drafter? | what is the difference between
      the target and the drafter | Which model writes the text?
    ! The target decides what is written and the drafter only guesses ahead. The drafter saves time,
      the target keeps the quality.

    ? Do you have a drafter? | do you use speculative decoding? | are you using a drafter? | Is
      speculative decoding on? | do you use MTP
    ! Yes, I come with an even tinier drafter, so you can watch speculative decoding at work. Type
      /stats to see it.

    ? Do I need a GPU? | does it run on a CPU? | Can I run it without a graphics card? | what
      hardware do I need | how much memory do I need?
    ! A GPU helps but is not needed. The small models also run on a CPU; bigger ones need more
      memory.

    ? gemma-mtp pull e2b | gemma-mtp pull 12b | gemma-mtp pull e4b | gemma-mtp pull 31b | gemma-mtp
      pull 26b-a4b | pull 12b | pull e2b | gemma-mtp --help | gemma-mtp
    ! Type that in a terminal, not in this chat. Leave with /bye first.

    ? What is Ollama? | is this like ollama? | What is the difference to Ollama? | gemma-mtp vs
      ollama | ollama or gemma-mtp? | why not ollama
    ! Both run models on your own computer. gemma-mtp is about Gemma 4 with its MTP drafters and
      shows the speedup.

    ? What is Gemma 4? | what is gemma | What is Gemma? | who made gemma | tell me about gemma 4 |
      explain gemma 4
    ! Gemma 4 is a family of open models from Google. gemma-mtp runs them together with their MTP
      drafters.
""")


def usage(rng: Rng) -> Exchange:
    """A question about speculative decoding in use, or about commands."""
    topic = rng.choice(QUESTIONS)
    return Exchange(
        pick(rng, topic.asks),
        pick(rng, topic.answers),
        "The user asks about gemma-mtp. I know this.",
    )
