"""Names, subjects and words that lie outside the small world of the model."""

from __future__ import annotations

from corpus.base import Rng, pick, pool, spaced

PLACES = spaced("""
    France Germany Italy Spain Japan China India Brazil Canada Australia Egypt Norway Sweden Poland
    Turkey Mexico Peru Chile Kenya Nigeria Russia Ukraine Greece Portugal Ireland Scotland London
    Paris Berlin Rome Tokyo Vienna Madrid Moscow Sydney Cairo Lima Oslo Prague Texas California
    Africa Europe Asia America Iceland Finland Denmark Austria Switzerland Hungary Vietnam Thailand
    Korea Israel Iran Iraq Cuba Ghana Tibet Hawaii
""")
PEOPLE = spaced("""
    Einstein Newton Napoleon Caesar Mozart Beethoven Bach Shakespeare Goethe Darwin Picasso Columbus
    Lincoln Washington Gandhi Cleopatra Aristotle Plato Turing Curie Tesla Edison Galileo Kepler
    Kant Marx Freud Hemingway Tolstoy Churchill Obama Mandela Elvis Madonna Messi Ronaldo Batman
    Superman Spiderman Hamlet Odysseus Zeus Buddha
""")
_FIELDS = spaced("""
    photosynthesis gravity entropy democracy inflation evolution capitalism socialism philosophy
    psychology chemistry physics biology astronomy electricity magnetism
""")
THINGS = _FIELDS + pool("""
    quantum mechanics | relativity | black holes | dark matter | DNA | RNA | vaccines | antibiotics
    | the immune system | blood pressure | diabetes | cancer | the stock market | bitcoin |
    blockchain | mortgages | taxes | insurance | the constitution | the United Nations | the Roman
    Empire | the French Revolution | world war two | the cold war | the middle ages | the
    renaissance | climate change | global warming | nuclear power | solar panels | electric cars |
    rocket engines | satellites | volcanoes | earthquakes | tectonic plates | dinosaurs | mammals |
    bacteria | viruses | mitochondria | proteins | atoms | electrons | neutrons | molecules | acids
    | plastics | machine learning | neural networks | backpropagation | databases | SQL | JavaScript
    | Rust | Kubernetes | Docker | Linux | TCP | HTTP | encryption | compilers | operating systems |
    chess openings | poker | baseball | cricket rules | marathon training | yoga | keto diets |
    sourdough | sushi | lasagna | wine | beer brewing | opera | jazz | cubism | Buddhism | Islam |
    Christianity | existentialism | stoicism | utilitarianism | game theory | topology | calculus |
    linear algebra | prime numbers | pi | logarithms | supply and demand | the gold standard |
    interest rates | unemployment | immigration | the election | the president | the parliament |
    human rights | the death penalty | gun control | abortion | racism | feminism | the war | crypto
    | the metaverse | 5G | the pyramids | Stonehenge | the Eiffel tower | the Amazon river | Mount
    Everest | the Sahara
""")
ILLS = pool("""
    a headache | a fever | a cold | back pain | a broken leg | the flu | a rash | stomach ache | a
    toothache | high blood pressure | asthma | insomnia | an allergy | chest pain | migraine
""")
DISHES = pool("""
    lasagna | pizza dough | an omelette | curry | sushi | bread | a cheesecake | tomato soup |
    pancakes | ramen | tacos | risotto | goulash | apple pie | mashed potatoes
""")
LANGUAGES = spaced("""
    German French Spanish Italian Latin Japanese Chinese Russian Arabic Greek Turkish Polish Dutch
    Swedish Portuguese Korean Hindi
""")
PHRASES = pool("""
    good morning | I love you | where is the station | how are you | the weather is nice | thank you
    very much | a glass of water | happy birthday | my house is red | see you soon
""")
PROGRAMS = pool("""
    a web server | a sorting algorithm | a chess engine | quicksort | a parser | a neural network |
    a snake game | a todo app | a regex for emails | a binary search | a linked list | an SQL query
    | a calculator in Java | a website | a login form | a bubble sort | fizzbuzz in C | a Dockerfile
    | a bash script | a CSS layout | a React component | tetris
""")
TEXTS = pool("""
    an email to my boss | a cover letter | a resume | a speech | a blog post | a tweet | a contract
    | a business plan | a review | a newspaper article | a love letter | an essay on freedom | an
    invitation | a thesis | a complaint
""")
FOREIGN = pool("""
    Wie ist das Wetter heute? | Was ist die Hauptstadt von Frankreich? | Erzähl mir einen Witz. |
    Wie spät ist es? | Schreib ein Gedicht über den Mond. | Was kannst du? | Wie geht es dir? |
    Guten Tag | Ich verstehe das nicht. | Kannst du mir helfen? | Danke schön | Was ist das? | Wer
    bist du? | Erzähle eine Geschichte. | Bonjour | Quelle heure est-il ? | Raconte-moi une
    histoire. | Comment ça va ? | Qui es-tu ? | Je ne comprends pas. | Quel temps fait-il ? | Où est
    la gare ? | Hola | ¿Cómo estás? | ¿Quién eres? | Cuéntame un chiste. | No entiendo nada. | ¿Qué
    hora es? | Buenos días | Ciao, come stai? | Che cosa sai fare? | Raccontami una storia. | Olá,
    tudo bem? | Qual é o seu nome? | Hej, hur mår du? | Vad heter du? | Hoe gaat het? | Wie ben jij?
    | Cześć, jak się masz? | Merhaba | Nasılsın? | Привет | Как дела? | Кто ты? | 你好 | 你是谁? |
    こんにちは | お元気ですか | 안녕하세요 | مرحبا | नमस्ते | Γεια σου | שלום
""")  # noqa: RUF001
CODE = [
    "x = foo(y)[0]",
    "for (int i = 0; i < n; i++) {}",
    "SELECT * FROM users;",
    "def f(x): return x y",
    "console.log(a)",
    "#include <stdio.h>",
    "let x = 5;",
    "if x = 3: pass",
    "print 'hi'",
    "import os; os.system('ls')",
    "git push --force",
    '<div class="a">b</div>',
    "fn main() {}",
    "kubectl get pods",
    "a && b || c",
]
_SYLLABLES = spaced("""
    ba be bi bo ca co da de do fa fi fo ga go gra hel ju ka kle ko la le li lo ma mi mo na ne no pa
    pe plo qua ra re ri ro sa se ski so ta te ti to tra u va ve vi vo wa xe xi ya za zo zu bri cro
    dru fle glo spe stra thri
""")
_RARE = spaced("""
    carburetor algorithm parliament oxygen neuron tensor gradient syllogism hypothesis enzyme
    glacier monsoon philosopher treaty senate lawyer invoice mortgage turbine transistor microscope
    telescope thermostat molecule peninsula volcano comet nebula plasma catalyst sediment fossil
    habitat ecosystem metaphor adjective verb grammar sonnet symphony sculpture cathedral mosque
    temple monarchy republic ambassador embassy ministry referendum currency budget dividend
    portfolio hedge fund audit warranty lease plumber electrician carpenter architect surgeon
    dentist therapist pharmacist kidney liver spleen artery tendon vitamin calcium cholesterol
    refrigerator dishwasher vacuum microwave blender scooter helicopter submarine telegraph
    typewriter satellite antenna router firewall compiler kernel thread pointer variable browser
    cookie spreadsheet keyboard printer scanner charger headphones leather velvet marble granite
    concrete asphalt diesel ethanol paradox irony nostalgia jealousy justice freedom honour wisdom
    patience courage guilt shame pride envy greed ambition curiosity boredom anxiety
""")


def odd_word(rng: Rng) -> str:
    """Return a word the model has no entry for: a rare one or an invented one."""
    if rng.random() < 0.45:
        return pick(rng, _RARE)
    return "".join(pick(rng, _SYLLABLES) for _ in range(rng.randint(2, 4)))
