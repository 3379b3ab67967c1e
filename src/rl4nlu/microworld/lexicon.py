"""The words of the microworld and what they mean: classes, synonyms, polarity, senses, causes and pronoun schemas.

Everything else in the package (facts, tasks, tokenizer, pretraining text) is built from these tables.
"""
# fmt: off

WOMEN = ("Anna", "Mary", "Clara", "Emma", "Julia", "Laura", "Nina", "Olga", "Rosa", "Sara", "Tina", "Vera")
MEN = ("Ben", "Carl", "David", "Eric", "Frank", "Hugo", "Ivan", "Kurt", "Leo", "Mark", "Oscar", "Paul")
NAMES = WOMEN + MEN
PRONOUN = {**dict.fromkeys(WOMEN, "she"), **dict.fromkeys(MEN, "he")}
REFLEXIVE = {"she": "herself", "he": "himself"}

COLOURS = ("red", "blue", "green", "black", "white", "yellow", "brown", "pink")
# object -> synonym; an empty string means that the object has none
OBJECTS = {
    "cup": "mug", "sofa": "couch", "coat": "jacket", "car": "vehicle", "boat": "ship", "bag": "sack",
    "picture": "photo", "carpet": "rug", "gift": "present", "phone": "telephone", "bike": "bicycle", "stone": "rock",
    "lamp": "", "hat": "", "book": "", "chair": "", "table": "", "box": "", "key": "", "ring": "", "drum": "",
    "knife": "", "clock": "", "kite": "", "shirt": "", "basket": "",
}
PLACES = {
    "town": "", "village": "", "forest": "woods", "castle": "palace", "valley": "", "harbor": "port", "desert": "",
    "city": "", "mountain": "", "meadow": "field",
}
JOBS = {
    "baker": "", "doctor": "physician", "teacher": "instructor", "lawyer": "attorney", "singer": "", "farmer": "",
    "pilot": "", "painter": "", "driver": "", "nurse": "", "cook": "chef", "writer": "author",
}
# plural kinds of animals that people like, and food that people ate
ANIMALS = {
    "dogs": "hounds", "cats": "kittens", "horses": "ponies", "rabbits": "bunnies", "birds": "", "cows": "", "goats": "",
    "ducks": "", "bears": "", "foxes": "",
}
FOODS = {
    "bread": "", "soup": "", "rice": "", "cheese": "", "cake": "", "fish": "", "pasta": "", "salad": "", "honey": "",
    "stew": "",
}
SYNONYMS = {a: b for table in (OBJECTS, PLACES, JOBS, ANIMALS, FOODS) for a, b in table.items() if b}
CANONICAL = {b: a for a, b in SYNONYMS.items()}

# ---- sentiment -------------------------------------------------------------------------------------------
GOOD_ADJECTIVES = (
    "good", "great", "wonderful", "charming", "brilliant", "funny", "clever", "moving", "lovely", "delightful", "fresh",
    "gripping", "superb", "touching", "witty", "elegant", "warm", "smart", "pleasant", "splendid",
)
BAD_ADJECTIVES = (
    "bad", "awful", "boring", "dull", "terrible", "stupid", "weak", "lazy", "tedious", "horrible", "stale", "clumsy",
    "poor", "shallow", "silly", "messy", "cold", "dreary", "ugly", "lifeless",
)
GOOD_NOUNS = ("masterpiece", "triumph", "joy", "treat", "delight")
BAD_NOUNS = ("disaster", "failure", "mess", "disappointment", "bore")
GOOD_VERBS = ("loved", "enjoyed", "admired", "praised")
BAD_VERBS = ("hated", "regretted", "disliked", "mocked")
ASPECTS = ("plot", "acting", "music", "script", "story", "cast", "ending", "dialogue", "film", "movie")
NEGATORS = ("not", "never", "hardly")
INTENSIFIERS = ("very", "really", "quite", "truly")

# ---- verbs for grammar: plural form, third person, past, participle ----------------------------------------
INTRANSITIVE = (
    ("sleep", "sleeps", "slept", "slept"), ("run", "runs", "ran", "run"), ("laugh", "laughs", "laughed", "laughed"),
    ("smile", "smiles", "smiled", "smiled"), ("arrive", "arrives", "arrived", "arrived"),
    ("dance", "dances", "danced", "danced"), ("wait", "waits", "waited", "waited"),
)
TRANSITIVE = (
    ("see", "sees", "saw", "seen"), ("find", "finds", "found", "found"), ("take", "takes", "took", "taken"),
    ("carry", "carries", "carried", "carried"), ("clean", "cleans", "cleaned", "cleaned"),
    ("paint", "paints", "painted", "painted"), ("hide", "hides", "hid", "hidden"),
    ("break", "breaks", "broke", "broken"), ("sell", "sells", "sold", "sold"),
)
# animate nouns for grammar: singular, plural
NOUNS = (
    ("dog", "dogs"), ("cat", "cats"), ("horse", "horses"), ("bird", "birds"), ("goat", "goats"), ("boy", "boys"),
    ("girl", "girls"), ("child", "children"), ("baker", "bakers"), ("doctor", "doctors"), ("teacher", "teachers"),
)
THINGS = (
    ("cup", "cups"), ("box", "boxes"), ("book", "books"), ("hat", "hats"), ("lamp", "lamps"), ("key", "keys"),
    ("chair", "chairs"), ("stone", "stones"),
)

# ---- word senses: word -> two senses, each a tuple of contexts; {P} is a person, {C} a colour --------------
SENSES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bank": (
        ("{P} put the money in the bank.", "The bank gave {P} a loan.", "{P} works at the bank."),
        ("{P} sat on the bank of the river.", "The bank was full of mud.", "{P} fished from the grassy bank."),
    ),
    "bat": (
        ("The bat flew out of the cave.", "{P} saw a bat at night.", "A bat sleeps in the day."),
        ("{P} hit the ball with a bat.", "The wooden bat broke.", "{P} swung the {C} bat."),
    ),
    "ring": (
        ("{P} wore a gold ring.", "The ring is on the finger of {P}.", "{P} bought a {C} ring."),
        ("{P} heard the ring of the phone.", "The ring of the bell was loud.", "A loud ring woke {P}."),
    ),
    "spring": (
        ("The flowers grow in spring.", "{P} was born in the spring.", "Spring comes after winter."),
        ("The metal spring broke.", "{P} fixed the spring in the bed.", "A {C} spring fell out of the clock."),
    ),
    "light": (
        ("{P} turned on the light.", "The light of the lamp is {C}.", "{P} read by the light of the sun."),
        ("The bag of {P} is light.", "{P} carried a light box.", "A light stone is easy to lift."),
    ),
    "leaves": (
        ("The leaves fell from the tree.", "{P} swept the {C} leaves.", "Dry leaves covered the grass."),
        ("{P} leaves the house early.", "The train leaves at night.", "{P} never leaves the town."),
    ),
    "wave": (
        ("A big wave hit the boat.", "{P} swam under the wave.", "The wave of the sea was high."),
        ("{P} gave a wave with one hand.", "With a wave {P} said goodbye.", "The king answered with a wave."),
    ),
    "match": (
        ("{P} won the match.", "The team lost the match.", "{P} played a match of chess."),
        ("{P} lit the match.", "The match burned {P}.", "A wet match makes no fire."),
    ),
    "nail": (
        ("{P} hit the nail with a hammer.", "A nail held the {C} board.", "The iron nail was bent."),
        ("{P} broke a nail on one finger.", "The nail of {P} is {C}.", "{P} painted a nail with polish."),
    ),
    "watch": (
        ("{P} wore a watch.", "The watch shows the time.", "{P} lost a {C} watch."),
        ("{P} likes to watch the birds.", "We watch the game with {P}.", "They watch a film at night."),
    ),
    "bark": (
        ("The bark of the dog was loud.", "{P} heard a bark at the door.", "A bark scared the cat of {P}."),
        ("The bark of the tree is {C}.", "{P} cut the bark with a knife.", "Thick bark covered the trunk."),
    ),
    "play": (
        ("{P} wrote a play.", "The play was shown on the stage.", "{P} acted in the play."),
        ("The children play with {P}.", "They play in the garden.", "{P} wants to play with the ball."),
    ),
    "letter": (
        ("{P} sent a letter by post.", "The letter came in a {C} envelope.", "{P} read the letter from home."),
        (
            "The word starts with a letter.", "{P} wrote the first letter of the name.",
            "The last letter of the word is missing.",
        ),
    ),
    "glass": (
        ("{P} drank a glass of milk.", "The glass was full of water.", "{P} filled the {C} glass."),
        ("The window is made of glass.", "{P} walked on broken glass.", "A sheet of glass is thin."),
    ),
    "plant": (
        ("{P} watered the plant.", "The plant has {C} flowers.", "A plant needs sun and water."),
        ("{P} works in a car plant.", "The plant makes steel.", "The workers left the plant."),
    ),
    "rose": (
        ("{P} smelled the rose.", "A {C} rose grows in the garden.", "{P} picked a rose."),
        ("The sun rose early.", "{P} rose from the chair.", "The price rose again."),
    ),
    "cold": (
        ("The water was cold.", "{P} felt the cold wind.", "A cold night is long."),
        ("{P} caught a cold.", "{P} took medicine for a cold.", "The doctor treated the cold of {P}."),
    ),
    "bow": (
        ("{P} shot an arrow with a bow.", "The bow and the arrow are {C}.", "The hunter carried a bow."),
        ("{P} ended the show with a bow.", "After the song {P} took a bow.", "A deep bow pleased the queen."),
    ),
}

# ---- causes: (cause, effect); {P} is a person, {O} an object, {C} a colour, {S} she or he ------------------
CAUSES = (
    ("{P} dropped the {C} cup.", "The {C} cup broke."), ("It rained all day.", "The street of {P} got wet."),
    ("{P} did not eat.", "{P} was hungry."), ("{P} ran for an hour.", "{P} was tired."),
    ("{P} studied hard.", "{P} passed the test."), ("{P} forgot the key.", "{P} could not open the door."),
    ("The sun shone on {P}.", "{P} felt hot."), ("{P} told a joke.", "The friends of {P} laughed."),
    ("{P} lost the {C} {O}.", "{P} looked for the {C} {O}."),
    ("{P} turned off the light.", "The room of {P} became dark."), ("{P} fell off the bike.", "{P} hurt one leg."),
    ("{P} won the race.", "{P} got a prize."), ("{P} watered the flowers.", "The flowers of {P} grew."),
    ("{P} left the milk in the sun.", "The milk of {P} turned sour."), ("{P} broke the law.", "The police caught {P}."),
    ("{P} saved money.", "{P} bought a {C} {O}."), ("{P} woke up late.", "{P} missed the bus."),
    ("{P} caught a cold.", "{P} stayed in bed."), ("{P} fed the dog.", "The dog of {P} was happy."),
    ("{P} burned the dinner.", "The kitchen of {P} was full of smoke."),
    ("{P} heard a noise.", "{P} looked out of the window."), ("The wind was strong.", "The {C} hat of {P} flew away."),
    ("{P} forgot the umbrella.", "{P} came home wet."), ("{P} drank too much coffee.", "{P} could not sleep."),
    ("The {C} {O} was dirty.", "{P} washed the {C} {O}."), ("{P} moved to a new town.", "{P} looked for a house."),
    ("The car of {P} had no fuel.", "The car of {P} stopped."), ("{P} practiced the song.", "{P} sang well."),
    ("The snow was deep.", "The school of {P} was closed."), ("{P} lied to a friend.", "The friend of {P} was angry."),
    ("{P} cut one finger.", "{P} needed a doctor."), ("{P} was thirsty.", "{P} drank some water."),
)

# ---- pronoun schemas: (text with {A} {B} {it}, claim with {X}, whether {it} is A) --------------------------
THING_SCHEMAS = (
    ("The {A} does not fit in the {B} because it is too big.", "The {X} is too big.", True),
    ("The {A} does not fit in the {B} because it is too small.", "The {X} is too small.", False),
    ("The {A} fell on the {B} because it was not tied.", "The {X} was not tied.", True),
    ("The {A} fell on the {B} and now it is crushed.", "The {X} is crushed.", False),
)
PERSON_SCHEMAS = (
    ("{A} thanked {B} because {it} had given help.", "{X} had given help.", False),
    ("{A} thanked {B} because {it} had received help.", "{X} had received help.", True),
    ("{A} could not lift {B} because {it} was too heavy.", "{X} was too heavy.", False),
    ("{A} could not lift {B} because {it} was too weak.", "{X} was too weak.", True),
    ("{A} beat {B} in the game, so {it} was glad.", "{X} was glad.", True),
    ("{A} beat {B} in the game, so {it} was sad.", "{X} was sad.", False),
    ("{A} asked {B} a question, but {it} did not answer.", "{X} did not answer.", False),
    ("{A} asked {B} a question, but {it} got no answer.", "{X} got no answer.", True),
)

# ---- clause-embedding verbs for CB ---------------------------------------------------------------------------
FACTIVE = ("knows that", "remembers that", "is glad that")
OPEN = ("thinks that", "hopes that", "says that")
COUNTER = ("lies that", "falsely says that", "wrongly thinks that")
