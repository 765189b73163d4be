"""What short stories are made of: heroes, places, things and plots."""

from __future__ import annotations

from corpus.base import pool, spaced, steps

HE = spaced("""
    Milo Tom Ben Max Leo Finn Oskar Hugo Theo Felix Emil Anton Jonas Karl Pip Rufus Otto Sam Jack
    Noah Bruno Kasper Ivo Tobi Nils Bert Alfred Gus Olaf Peter
""")
SHE = spaced("""
    Luna Mia Ella Rosa Nora Ida Lily Anna Clara Emma Greta Frida Hazel Ruby Alma Tilda Pia Zoe Maja
    Olive Dora Lotte Selma Juno Wilma Elsa Ronja Bella Kira Tess
""")
HEROES = pool("""
    fox | bear | cat | dog | mouse | owl | rabbit | wolf | horse | frog | duck | penguin | robot |
    dragon | princess | prince | king | queen | knight | wizard | witch | pirate | giant | ghost |
    boy | girl | farmer | baker | teacher | fisherman | sailor | painter | doctor | gardener |
    hedgehog | squirrel | turtle | snail | bee | spider | elephant | lion | tiger | monkey | zebra |
    crow | sparrow | whale | dolphin | seal | goat | sheep | cow | hen | donkey | pony | unicorn |
    fairy | elf | dwarf | troll | mermaid | snowman | cloud | star | tree | lamp | teapot | clock |
    boat | train | kite | puppy | kitten | bird | fish | crab | octopus | shark | badger | otter |
    beaver | deer | moose | parrot | swan | goose | ant | beetle | butterfly | ladybird | camel |
    giraffe | hippo | kangaroo | koala | panda | crocodile | lizard | snake | bat | mole | rat |
    hamster | pig | chicken | rooster | astronaut | clown | shoemaker | tailor | miller | thief |
    soldier | detective | scientist | inventor | child | grandmother | grandfather | baby | monster
    | alien | computer | car | bus | bicycle | train | pencil | book | spoon | balloon | candle |
    umbrella | stone | river | moon | pumpkin | potato | carrot | cookie | pancake | shoe | sock |
    hat | button | key | drum | violin | raindrop | snowflake | leaf | model | token | cook | little
    model | tram driver
""")
FRIENDS = pool("""
    owl | mouse | fox | hare | crow | frog | squirrel | hedgehog | turtle | goat | swan | badger |
    beaver | sparrow | donkey | old man | old woman | girl | boy
""")
QUALITIES = spaced("""
    small brave curious quiet clever shy cheerful lonely gentle lazy hungry merry young old tiny
    proud
""")
PLACES = pool("""
    in a quiet forest | by the blue sea | in a small village | on a green hill | near a wide river |
    in an old castle | at the edge of a big town | on a tiny island | in a warm valley | beside a
    deep lake | in a little house | under an old oak tree | high in the mountains | in a garden full
    of flowers | behind a windmill | on a lonely farm | near a sandy beach | in a city with many
    lights | at the end of a long road | in the land of snow
""")
OBJECTS = pool("""
    silver key | golden ring | red ball | small bell | old map | blue stone | glass bottle | wooden
    box | bright lamp | green hat | magic pencil | paper boat | tiny book | warm scarf | shiny coin
    | music box | long rope | white feather | little drum | copper kettle
""")
FOODS = spaced("""
    apples bread berries honey soup cake nuts pancakes cheese pears cookies porridge
""")
OPEN = pool("""
    Once upon a time there was {q} {h} named {n} who lived {p}. | Long ago, {p}, there lived {q} {h}
    named {n}. | {Q} {h} named {n} lived {p}. | There once was {q} {h} called {n}, who lived {p}.
""")
DAILY = pool("""
    Every morning {n} looked out of the window and ate some {food}. | {n} liked {food} and long
    walks. | All day long {n} worked hard, and in the evening {he} sang a song. | {n} knew every
    path there and every stone. | Most of all {n} loved to sit in the sun. | {n} had no worries,
    only a good heart.
""")
PLOTS = [
    steps("""
    - One day {n} found a {o} in the grass. | One morning a {o} lay in front of the door.
    - "Whose is this?" {he} asked. | "Someone must miss this," said {n}.
    - {n} asked everybody on the way, but nobody knew. | {He} went from house to house and asked.
    - At last {he} met {f} named {g}, who was very sad. | In the evening {he} saw {f} named {g} who
      looked for something.
    - "That is my {o}!" cried {g}. | "My {o}!" said {g} and jumped for joy.
    - {n} gave it back, and they shared some {food}. | {n} gave it back with a smile.
    - From that day on they were friends. | Since then the two have tea together every week.
"""),
    steps("""
    - One night there was a big storm. | One evening the wind grew wild and the rain began.
    - The rain did not stop, and the path was under water. | Trees fell, and the little bridge
      broke.
    - {n} heard someone call for help. | Then {n} heard a thin voice outside.
    - It was {f} named {g}, wet and cold. | Under a bush sat {f} named {g}, who could not get home.
    - "Come in," said {n}, "there is room for two." | "Take my hand," said {n}.
    - They sat by the fire and ate {food}. | They told each other stories until the storm was over.
    - In the morning the sun came out, and both were glad. | The next day they built a new bridge
      together.
"""),
    steps("""
    - {n} had one big dream: {he} wanted to see the sea. | {n} wanted to see what was behind the
      hills.
    - So {he} packed some {food} and a {o}. | One day {he} took a {o} and went off.
    - The way was long and the sun was hot. | {He} walked for three days and three nights.
    - On the way {he} met {f} named {g}. | At a well {he} met {f} named {g}.
    - "May I come with you?" asked {g}. | "I know the way," said {g}.
    - Together they reached the top, and there it was. | Together they walked on, and the way felt
      short.
    - {n} was happy, but happiest of all to have a friend. | "The best thing about the journey was
      you," said {n}.
"""),
    steps("""
    - One day the {o} of {n} was gone. | One morning {n} could not find the {o}.
    - {He} looked under the bed and behind the door. | {He} looked in every corner, but it was not
      there.
    - "Who took it?" {he} asked. | "I must find it," said {n}.
    - {f} named {g} helped to search. | {n} asked {f} named {g} for help.
    - They followed small steps in the sand. | They searched until it was dark.
    - Then {g} laughed: "Look, it is on your head!" | Then {g} pointed up: it hung in a tree!
    - {n} laughed too, and they ate {food}. | {n} had to laugh, and so the day ended well.
"""),
    steps("""
    - {n} was afraid of the dark. | {n} could do many things, but {he} was afraid of deep water.
    - The others laughed at that. | Nobody knew about it.
    - One night {f} named {g} got lost. | One day {f} named {g} fell into the river.
    - Nobody else was near. | "Help!" cried {g}.
    - {n} took a {o} and ran. | {n} did not think twice, and held out a {o}.
    - {He} found {g} and brought {g} home. | Slowly, step by step, {he} saved {g}.
    - After that {n} was not afraid any more. | "You are the bravest of us all," said {g}.
"""),
    steps("""
    - One spring there was nothing to eat. | It was a hard winter, and the plates were empty.
    - {n} had only a little {food} left. | {n} had one basket of {food}.
    - Then {f} named {g} knocked at the door. | There came {f} named {g}, who was very hungry.
    - "I will share with you," said {n}. | {n} thought for a moment and gave half of it away.
    - {g} thanked {n} and left a {o}. | "Take this {o} for it," said {g}.
    - The {o} was magic, and the table was never empty again. | And see: under the {o} there was
      food for everyone.
    - Who shares has more, people say there. | They ate together until summer came.
"""),
    steps("""
    - Every year there was a great race. | The king called for a race around the lake.
    - {f} named {g} was the fastest of all. | Everybody thought that {f} named {g} would win.
    - "You are too slow," the others said to {n}. | "I will try it anyway," said {n}.
    - In the middle of the race {g} fell into a hole. | Half way {g} hurt a foot.
    - {n} stopped and helped. | {n} turned around and pulled {g} out.
    - So both came last, side by side. | Arm in arm they crossed the line, the very last of all.
    - But the prize, a {o}, was given to {n} for a good heart. | Everybody cheered, and {n} got a
      {o}.
"""),
    steps("""
    - {n} found an old book with a secret. | In the attic {n} found a letter.
    - It said: "Dig under the tallest tree." | It spoke of a treasure {p2}.
    - {He} told {f} named {g} about it. | {f} named {g} came along with a {o}.
    - They dug all day and all night. | They searched for seven days.
    - At last they found a box. | Then the spade struck wood: a box!
    - Inside lay a {o} and a note: "The real treasure is a friend." | It was full of {food}.
    - They laughed and went home together. | "That is the best treasure," said {n}.
"""),
    steps("""
    - One day {n} wanted to bake a cake for {f} named {g}. | It was the birthday of {f} named {g}.
    - But there was no sugar in the house. | But the oven was cold and the flour was gone.
    - {n} asked the neighbours, and each gave a little. | {n} went to the market with a {o}.
    - The first cake was burnt. | The cake fell on the floor.
    - "Never mind," said {n}, and began again. | {n} sighed and took some {food} instead.
    - In the evening all the friends came. | {g} came, and the candles were lit.
    - It was the best party of the year. | "This is the best present," said {g}.
"""),
    steps("""
    - One night a star fell from the sky. | A small star fell into the garden.
    - {n} picked it up with care. | {n} put it into a bowl of water.
    - "I want to go home," said the star. | The star cried, because it was far from home.
    - {n} and {f} named {g} built a very long ladder. | {f} named {g} knew a wind that could carry
      it.
    - They climbed higher than the clouds. | They waited for the strongest wind.
    - Then the star was back in its place. | Up and up the star flew.
    - Since then it shines every night for {n}. | When {n} looks up, it blinks.
"""),
]
CLOSE = pool("""
    And that was the end of the story. | And if they have not moved away, they still live there. |
    That night {n} slept very well. | {n} never forgot that day. | And everybody was happy. | The
    end.
""")
