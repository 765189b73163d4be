"""Definitions of everyday words in the training text."""

from __future__ import annotations

from corpus.base import Exchange, Rng, article, capital, choose, spaced

# word: what it is; the answer is "A word is ...".
DEFINITIONS: dict[str, str] = dict(
    line.split(": ", 1)
    for line in """\
apple: a round fruit that grows on trees and tastes sweet
arm: the part of the body between shoulder and hand
baby: a very young child
bag: a soft thing to carry other things in
ball: a round thing to play with
bank: a house where people keep money
basket: a light box made of thin twigs
bath: a tub of water to wash in
beach: the sandy edge of the sea
bear: a big, strong animal with thick fur
bed: a piece of furniture to sleep on
bee: a small insect that makes honey
bell: a metal cup that rings when it is struck
bicycle: a vehicle with two wheels and two pedals
bird: an animal with feathers and wings
boat: a small ship that floats on water
book: many pages with words, bound together
bottle: a tall vessel for drinks
box: a container with flat sides
bread: food baked from flour and water
bridge: a road built over a river or a valley
brother: a boy who has the same parents as you
bucket: a round vessel with a handle to carry water
bus: a large car for many people
butter: a yellow fat made from milk
cake: a sweet food baked in an oven
camera: a machine that takes pictures
candle: a stick of wax that gives light
car: a vehicle with an engine and four wheels
castle: a large, strong house of stone from old times
cat: a small animal with soft fur that hunts mice
chair: a seat for one person
cheese: a food made from milk
child: a young person
church: a house where people pray
circle: a perfectly round line
city: a very large town
clock: a machine that shows the time
cloud: many tiny drops of water that float in the sky
coat: a warm thing to wear outside
coffee: a hot, dark drink made from beans
coin: a small round piece of money
computer: a machine that works with data and programs
cook: a person who makes food
cow: a large farm animal that gives milk
crown: a ring of gold that a king wears
cup: a small vessel to drink from
day: the time from one midnight to the next
desert: a dry land with little rain
desk: a table to work at
dictionary: a book that explains words
doctor: a person who helps sick people
dog: an animal that lives with people and barks
door: a thing you open to enter a room
dragon: a big animal in stories that breathes fire
dream: a story your mind makes while you sleep
dress: a piece of clothing for the whole body
drum: an instrument that you beat
duck: a bird that swims on ponds
ear: the part of the head that hears
egg: a round thing from which a bird hatches
elephant: a huge grey animal with a long trunk
engine: a machine that makes things move
eye: the part of the head that sees
farm: a place where food is grown and animals live
farmer: a person who works on a farm
father: a man who has a child
feather: one of the light things that cover a bird
field: an open piece of land with grass or corn
finger: one of the five thin parts of a hand
fire: the heat and light of something that burns
fish: an animal that lives and breathes in water
flag: a piece of cloth that stands for a country
flower: the colourful part of a plant
foot: the part of the body at the end of a leg
forest: a large piece of land with many trees
fork: a tool with points to eat with
fox: a clever wild animal with a bushy red tail
friend: a person you like and trust
frog: a small green animal that jumps and swims
fruit: the part of a plant that holds the seeds and is often sweet
garden: a piece of land where flowers and vegetables grow
ghost: a spirit of a dead person in stories
giant: a very tall person in stories
glass: a clear, hard material used for windows
guitar: an instrument with six strings
hammer: a tool to hit nails with
hand: the part of the body at the end of an arm
hat: a thing to wear on the head
heart: the part of the body that pumps blood
hill: a piece of land higher than the land around it
honey: a sweet food made by bees
horse: a large animal that people ride
hospital: a house where sick people are cared for
hour: a time of sixty minutes
house: a building where people live
ice: water that has frozen hard
island: a piece of land with water all around it
jacket: a short coat
key: a small tool that opens a lock
king: a man who rules a country
kitchen: a room where food is made
kite: a light toy that flies on a string
knife: a tool with a sharp blade to cut with
ladder: a tool with steps to climb up
lake: a large piece of water with land around it
lamp: a thing that gives light
leaf: a flat green part of a plant
leg: the part of the body you walk with
lemon: a sour yellow fruit
letter: a sign for a sound, or a message on paper
library: a house with many books to borrow
lion: a big wild cat with a mane
lock: a thing that keeps a door shut
map: a picture of a land from above
market: a place where people buy and sell things
milk: a white drink that cows give
minute: a time of sixty seconds
mirror: a glass in which you see yourself
money: what people use to pay for things
monkey: a clever animal that climbs trees
month: one of the twelve parts of a year
moon: the bright round body that circles the earth
mother: a woman who has a child
mountain: a very high piece of land
mouse: a tiny animal with a long tail, or a tool to move the pointer of a computer
museum: a house that shows old or beautiful things
music: sounds that are pleasant to hear
needle: a thin, sharp piece of metal to sew with
nest: a home that a bird builds
night: the dark time between evening and morning
nose: the part of the face that smells
ocean: a very large sea
orange: a round, juicy fruit, and also a colour
oven: a hot box in which food is baked
owl: a bird that hunts at night
page: one side of a sheet in a book
paper: thin sheets to write on
park: a green place in a town
pen: a tool to write with ink
pencil: a wooden tool to write and draw with
penguin: a bird that swims but cannot fly
phone: a machine to talk with people far away
piano: a big instrument with black and white keys
picture: a painting, drawing or photo
pirate: a robber who sails on the sea
planet: a large round body that circles a star
plant: a living thing that grows from the ground
plate: a flat dish to eat from
pocket: a small bag sewn into clothes
poem: a short text with beautiful words and often rhymes
pond: a small piece of still water
potato: a vegetable that grows under the ground
prince: the son of a king
princess: the daughter of a king
program: a list of steps that a computer follows
queen: a woman who rules a country
rabbit: a small animal with long ears
radio: a machine that plays voices and music from far away
rain: water that falls from clouds
rainbow: an arch of colours in the sky after rain
ring: a small circle worn on a finger
river: a long stream of water that flows to the sea
road: a way for cars and people
robot: a machine that can do work by itself
roof: the top of a house
room: one part of a house, with walls and a door
rope: a thick, strong string
salt: a white powder that makes food taste better
sand: very many tiny grains of stone
school: a place where children learn
sea: a very large piece of salt water
season: one of the four parts of a year
shadow: a dark shape made when something blocks the light
sheep: a farm animal that gives wool
ship: a large boat
shoe: a thing to wear on the foot
shop: a place where things are sold
sister: a girl who has the same parents as you
sky: the space above us where clouds and birds are
snake: a long animal without legs
snow: soft white ice that falls from clouds
soap: a thing to wash with
song: words that are sung to music
soup: a hot food eaten with a spoon
spider: a small animal with eight legs that spins webs
spoon: a tool to eat soup with
spring: the season between winter and summer
square: a shape with four equal sides
star: a huge hot ball of gas far away in the sky
stone: a hard piece of rock
storm: bad weather with strong wind and rain
story: a tale about people and what happens to them
street: a road in a town with houses beside it
sugar: a sweet white powder
summer: the warmest season of the year
sun: the star that gives us light and warmth
table: a piece of furniture with a flat top
tea: a hot drink made from leaves
teacher: a person who helps others to learn
tiger: a large wild cat with stripes
tooth: a hard white part of the mouth that bites
tower: a tall, narrow building
town: a place with many houses and streets
toy: a thing to play with
train: a row of wagons that runs on rails
tree: a tall plant with a trunk and branches
umbrella: a thing that keeps the rain off you
village: a very small town
violin: an instrument played with a bow
wall: one side of a room or house
water: a clear liquid that we drink
wave: a moving hill of water on the sea
week: a time of seven days
wheel: a round thing that turns
wind: air that moves
window: an opening in a wall that lets in light
wing: the part of a bird it flies with
winter: the coldest season of the year
witch: a woman in stories who can do magic
wizard: a man in stories who can do magic
wolf: a wild animal like a big dog
wood: the hard material of trees
word: a group of letters that means something
year: a time of twelve months
zebra: an animal like a horse with black and white stripes
zoo: a place where people look at animals""".splitlines()
)
_NO_ARTICLE = set(
    spaced("""
        bread butter cheese coffee fire glass honey ice milk money music paper rain salt sand snow
        soap spring sugar summer tea water wind winter wood
    """)
)
_THE = set(spaced("moon sky sun sea"))


def with_article(word: str) -> str:
    """Return the word as the subject of a definition."""
    if word in _NO_ARTICLE:
        return word
    return f"the {word}" if word in _THE else article(word)


def _has_plain_plural(word: str) -> bool:
    irregular = {"child", "foot", "tooth", "leaf", "knife", "sheep", "fish"}
    if word in {"horse", "shoe", "bee", "house", "tree"}:
        return True
    return word not in _NO_ARTICLE | _THE | irregular and word[-1] not in "sxhyfoe"


def definition(rng: Rng) -> Exchange:
    """What an everyday word means."""
    word = rng.choice(list(DEFINITIONS))
    subject = with_article(word)
    ask = choose(
        rng,
        """
        What is {s}? | What is {s}? | what is {s} | Define {w}. | define {w} | What does {w} mean? |
        what's {s}? | {w}? | Explain the word {w}. | What does the word {w} mean? | Can you explain
        what {s} is? | definition of {w} | meaning of {w} | Tell me what {s} is. | what {s} is? | Do
        you know what {s} is? | explain {w} | Describe {s}. | Tell me about {s}.
    """,
    )
    if _has_plain_plural(word) and rng.random() < 0.12:
        ask = choose(
            rng,
            """
            What are {w}s? | what are {w}s | Tell me about {w}s. | tell me about {w}s | Explain
            {w}s. | {w}s? | what do you know about {w}s?
        """,
        )
    answer = f"{capital(subject)} is {DEFINITIONS[word]}."
    head = Exchange(
        capital(ask.replace("{s}", subject).replace("{w}", word)),
        answer,
        f"The user asks about the word {word}. I know it.",
    )
    if rng.random() < 0.2:
        word = rng.choice(list(DEFINITIONS))
        subject = with_article(word)
        ask = choose(rng, "And {s}? | and {s}? | what about {s}? | and what is {s}? | and {w}?")
        answer = f"{capital(subject)} is {DEFINITIONS[word]}."
        head.more.append(
            Exchange(
                ask.replace("{s}", subject).replace("{w}", word),
                answer,
                f"Now the user asks about the word {word}.",
            )
        )
    return head
