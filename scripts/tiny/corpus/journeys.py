"""What long stories are made of: reasons to leave, adventures on the way, and an end."""

from __future__ import annotations

from corpus.base import pool, steps

LEGS = [
    steps("""
    - Soon {n} came to a river without a bridge. | Then a wide river lay across the way.
    - On the bank sat {f} named {g}. | There {he} met {f} named {g}.
    - "I can carry you over," said {g}, "if you tell me a joke." | "The water is too deep," said
      {g}, "but I know a narrow place."
    - {n} thought for a while and then said something so silly that they both laughed until they
      cried. | They walked along the bank until they found some flat stones, and {n} jumped from one
      to the next.
    - So {n} came safely to the other side. | With wet feet but in good spirits {n} walked on.
"""),
    steps("""
    - In the evening {n} reached a dark forest. | The next day {n} came into a deep forest.
    - The trees stood close together, and strange sounds came from all sides. | It was so dark that
      {he} could not see the path.
    - Suddenly two yellow eyes looked at {him}. | Something moved in the leaves.
    - It was only {f} named {g}, who was just as afraid. | But it was {f} named {g}, who was looking
      for company.
    - They walked on together, held hands and sang, and the forest was not so dark any more. | "Two
      are braver than one," said {g}, and it was true.
"""),
    steps("""
    - After some time {n} came to a town. | On the third day {n} saw the roofs of a town.
    - It was market day, and people sold {food} and a hundred other things. | In the middle of the
      square stood {f} named {g} and wept.
    - "My {o} has been stolen," said {f} named {g}. | "I have lost my {o}," said {g}.
    - {n} looked carefully at the ground, found a small trace and followed it around three corners.
      | {n} asked everyone in the square, one after the other, and did not give up.
    - There lay the {o}, behind a barrel. | In the end the {o} was found under a cart, and everybody
      clapped.
    - As thanks {n} got a bag of {food}. | {g} thanked {n} a hundred times.
"""),
    steps("""
    - Then the weather changed. | One night the clouds grew black.
    - Rain fell, and the wind tore at the trees. | Thunder rolled over the hills, and {n} was soaked
      to the skin.
    - In the rock there was a cave, and in the cave lived {f} named {g}. | {f} named {g} opened a
      door and called {him} in.
    - They made a fire, cooked soup and talked about everything under the sun. | There was warm
      soup, a dry blanket and a long story.
    - When the storm was over, {g} gave {n} a {o} for the way. | In the morning the sky was blue,
      and {g} showed {him} the way.
"""),
    steps("""
    - At the foot of a mountain {n} found a gate. | High up on a mountain there was a gate.
    - A giant sat in front of it and said: "Answer my riddle first." | "Nobody goes through here,"
      said a giant, "who cannot answer my riddle."
    - "What gets longer when you share it?" asked the giant. | "What is light but fills a whole
      room?" asked the giant.
    - {n} sat down on a stone and thought for a long time. | {n} thought of home, of friends and of
      warm evenings.
    - Then {he} said the right word, and the giant smiled. | "I do not know," said {n} at last, "but
      I would like to hear it from you."
    - The gate opened without a sound. | The giant liked that and opened the gate.
"""),
    steps("""
    - Behind the hills there was a lake as clear as glass. | In the valley below lay a silent lake.
    - A small boat waited at the shore, and in it lay a {o}. | Deep in the water something shone
      like a lamp.
    - {n} rowed out to the middle. | {n} put one hand into the cold water.
    - A very old fish came up and said: "I have waited for you. What do you wish?" | "One wish is
      free," said a voice from the water.
    - {n} thought of many things, but in the end {he} only wished for a good way home. | "I wish
      that nobody is lonely tonight," said {n}.
    - The water became bright, and far away a bell rang. | The lake glowed for a moment, and then it
      was still again.
"""),
]
LONG_WHY = pool("""
    But one day {n} heard about a {o} that was hidden at the end of the world, and {he} wanted to
    see it. | One day a letter came. It said: "Come to me at the end of the world. I need your
    help." There was no name under it. | One morning the old bell of the place was silent, and
    nobody knew why. "I will find out," said {n}. | Then came a spring when no bird sang. "Someone
    must look for the birds," said {n}.
""")
LONG_END = pool("""
    At last {n} came to the end of the world. It was not a wall and not a hole, only a small house
    with a light in the window. In it sat {f} named {g}, who had waited for a guest for many years.
    They drank tea and talked all night. | And then, behind the last hill, {n} found what {he} had
    looked for. It was smaller than {he} had thought, and more beautiful. {n} looked at it for a
    long time, and then {he} left it where it was, so that others could find it too.
""")
LONG_HOME = pool("""
    The way home was short, as ways home are. {n} told everything to everyone, and in the evening
    everyone got some {food}. | When {n} came home, everybody ran out into the street. They ate
    {food}, and {n} had to tell the story three times.
""")
