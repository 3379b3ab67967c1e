"""Wordings for pretraining: instructions, queries, skeletons and label words, none of them the evaluation's.

`TASK_WORDING` holds per task: instructions, query forms, the condition for each class and the natural label words. `PROBES` holds one wording a
task that pretraining never shows; probes are made from it.
"""
# fmt: off

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrasing:
    """How a task is put into words."""

    instructions: tuple[str, ...]
    queries: tuple[str, ...]
    conditions: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]


YES_NO = (("No", "Yes"), ("False", "True"), ("no", "yes"))
NO_YES = (("Yes", "No"), ("True", "False"), ("yes", "no"))
NLI_WORDS = (
    ("Entailment", "Neutral", "Contradiction"), ("entailment", "neutral", "contradiction"), ("Yes", "Neutral", "No"),
)
_PAIR = (
    'First: "{a}"\nSecond: "{b}"', 'First: "{a}" Second: "{b}"', 'First: "{a}" Second: "{b}"',
    'Text: "{a}"\nClaim: "{b}"', '"{a}" and "{b}"', 'Look at "{a}" and then at "{b}".',
    'Given "{a}", what about "{b}"?', 'The premise "{a}" stands beside the hypothesis "{b}".',
    'Sentence one: "{a}"\nSentence two: "{b}"', 'Premise: "{a}"\nHypothesis: "{b}"',
)
_ONE = (
    'Text: "{a}"', '"{a}"', '"{a}"', 'The sentence reads "{a}".', 'Consider "{a}".', 'Sentence: "{a}"',
    'What about the sentence "{a}"?', 'Here is a text : "{a}"',
)

TASK_WORDING: dict[str, Phrasing] = {
    "cola": Phrasing(
        (
            "You are an assistant that tests the grammar of English sentences.",
            "You are a teacher of English. Tell if it is acceptable or not.", "Check the grammar of a sentence.",
            "Say whether the sentence is well formed English.", "Is the sentence correct and acceptable to a speaker?",
            "A grammar test : acceptable or not acceptable.",
            "You check the linguistic quality of sentences and find broken grammar.",
            "Tell if a sentence is grammatical and linguistically acceptable.",
        ),
        _ONE, ("the grammar is broken", "the grammar is correct"), YES_NO,
    ),
    "sst2": Phrasing(
        (
            "You are an assistant that sorts movie reviews into positive and negative ones.",
            "You are a critic. Is it a positive review or a negative one?", "Find the sentiment of a review.",
            "Does the reviewer like the film?", "Say how the writer feels about the movie.",
            "Sort reviews by sentiment, positive or negative.",
            "You read the opinion in a text and name its sentiment.",
            "A sentiment test : is the text positive or negative in the end?",
        ),
        (*_ONE, 'Review: "{a}"', 'A review says "{a}".'),
        ("the opinion is bad", "the opinion is good"),
        (("Negative", "Positive"), ("negative", "positive"), ("No", "Yes")),
    ),
    "mrpc": Phrasing(
        (
            "You are an assistant that spots sentences with the same meaning.",
            "You are an editor. Do the two say the same or not?", "Do both sentences say the same thing?",
            "Find out if two sentences have the same meaning.",
            "Paraphrase test : the same content in other words or not.",
            "You compare sentence pairs and spot a paraphrase.",
            "Say whether the second sentence is a paraphrase of the first.", "Are the sentences semantically the same?",
        ),
        _PAIR, ("the meaning differs", "the meaning is the same"), YES_NO,
    ),
    "qqp": Phrasing(
        (
            "You are an assistant that spots questions with the same meaning.",
            "You are an editor. Do the two questions ask the same or not?", "Do both questions ask the same thing?",
            "Find out if two questions have the same meaning.",
            "Question pairs : is one a duplicate or paraphrase of the other?",
            "You compare questions and spot a paraphrase.",
        ),
        (*_PAIR, 'Question one: "{a}"\nQuestion two: "{b}"'),
        ("the questions differ", "the questions ask the same"), YES_NO,
    ),
    "stsb": Phrasing(
        (
            "You are an assistant that measures how close two texts are from 0 to 5.",
            "You are an editor. Give the two a number for how close they are.", "How similar are two sentences?",
            "Rate the similarity of a pair of sentences by a number from 0 to 5.",
            "Give a score between 0.0 for different and 5.0 for the same meaning.",
            "You measure semantic similarity on a scale from 0 to 5.", "Similarity test : write a float from 0 to 5.",
        ),
        _PAIR,
        (),
        (),
    ),
    "mnli": Phrasing(
        (
            "You are an assistant that tells entailment, contradiction and neutral pairs apart.",
            "You are a judge. How do the two texts stand to each other?",
            "Say how the second text stands to the first : entailment, neutral or contradiction.",
            "Does the claim follow, does it contradict, or is it open?", "Name the logical relation of two texts.",
            "You judge the relationship of premise and hypothesis.",
        ),
        _PAIR, ("the claim follows", "the claim is open", "the claim is against the text"), NLI_WORDS,
    ),
    "cb": Phrasing(
        (
            "You are an assistant that tells entailment, contradiction and neutral pairs apart.",
            "You are a judge. How do the two texts stand to each other?",
            "Say how far the writer is committed to the claim : entailment, neutral or contradiction.",
            "Does the claim follow, does it contradict, or is it open?", "Name the logical relation of two texts.",
        ),
        _PAIR, ("the claim follows", "the claim is open", "the claim is against the text"), NLI_WORDS,
    ),
    "rte": Phrasing(
        (
            "You are an assistant that tests if one text follows from another.",
            "You are a judge. Does the second follow from the first or not?",
            "Must the second sentence be true if the first is?", "Say whether the first text entails the second.",
            "Entailment test : can the claim be concluded from the text?",
            "You check if a hypothesis must be true given a premise.", "Is the claim supported by the text?",
            "Tell if there is a logical entailment between two sentences.",
        ),
        _PAIR, ("the claim follows", "the claim does not follow"),
        (*NO_YES, ("entailment", "not_entailment")),
    ),
    "qnli": Phrasing(
        (
            "You are an assistant that tests if a question is answered.",
            "You are a judge. Does the sentence say what was asked?",
            "Does the sentence hold the answer to the question?", "Say whether the text answers the question.",
            "Can the question be answered from the sentence?",
        ),
        (*_PAIR, 'Question: "{a}"\nText: "{b}"', 'Question: "{a}"\nSentence: "{b}"'),
        ("the answer is there", "the answer is missing"), NO_YES,
    ),
    "wnli": Phrasing(
        (
            "You are an assistant that tests what pronouns mean and what follows.",
            "You are a judge. Does the second follow once the pronoun is clear?",
            "Does the second sentence follow if the pronoun is read the right way?",
            "Who is meant by the pronoun? Check the claim.",
            "Say whether the claim follows from the sentence with the pronoun.",
        ),
        _PAIR, ("the claim is wrong", "the claim is right"), YES_NO,
    ),
    "boolq": Phrasing(
        (
            "You are an assistant that reads texts and answers by yes or no.",
            "You are a reader. Answer from what the passage says.", "Answer the question from the text.",
            "Read the passage, then answer the question by yes or no.",
            "Is the answer to the question yes? Use only what the passage says.",
            "You answer questions about a short text.", "Reading test : a passage and a question.",
        ),
        (
            'Passage: "{b}"\nQuestion: "{a}?"', 'Passage: "{b}" Question: "{a} ?"', 'Text: "{b}"\n"{a}?"',
            'Question: "{a}?" Passage: "{b}"', 'Read "{b}" and answer "{a}?"', 'The text says "{b}" Now, {a}?',
            'Look at "{b}" and say : "{a}?"',
        ),
        ("the text does not say so", "the text says so"), YES_NO,
    ),
    "copa": Phrasing(
        (
            "You are an assistant that looks for the {q} of events.",
            "You are a judge. Which option is the more likely {q}?", "Name the {q} of the event.",
            "Find the more likely {q}.", "One of two options is the {q} of what happened. Which?",
            "You pick the option that is the {q} of a sentence.", "Choose the {q} that makes more sense.",
        ),
        (
            'Event: "{a}"\nOption one: "{b}"\nOption two: "{c}"', 'Event: "{a}" Option one: "{b}" Option two: "{c}"',
            'Premise: "{a}" Which is the {q}, "{b}" or "{c}"?',
            '"{a}" What is the {q}? Option one is "{b}" and option two is "{c}".',
            'Option one: "{b}" Option two: "{c}" Event: "{a}"', 'Of "{b}" and "{c}", which one is the {q} of "{a}"?',
            'Sentence: "{a}"\nfirst "{b}"\nsecond "{c}"',
        ),
        ("the first is the {q}", "the second is the {q}"),
        (("Option one", "Option two"), ("Option One", "Option Two")),
    ),
    "multirc": Phrasing(
        (
            "You are an assistant that tests answers to questions about texts.",
            "You are a judge. Is this answer to the question true or false?", "Is the given answer right?",
            "Check an answer to a question about the passage.", "Does the passage support the answer?",
            "Reading test : is the given answer true of it?",
        ),
        (
            'Passage: "{a}"\nQuestion: "{b}"\nAnswer: "{c}"', 'Passage: "{a}" Question: "{b}" Answer: "{c}"',
            'Text: "{a}" "{b}" "{c}"', 'Read "{a}" Is "{c}" an answer to "{b}"?',
        ),
        ("the answer is wrong", "the answer is right"),
        (("False", "True"), ("No", "Yes")),
    ),
    "record": Phrasing(
        (
            "You are an assistant that tests statements about a passage.",
            "You are a judge. Does the statement fit what was read?", "Is the sentence true of the passage?",
            "A name was put into a gap. Check if it fits the text.", "Does the filled sentence agree with the passage?",
        ),
        (
            'Passage: "{a}"\nSentence: "{b}"', 'Passage: "{a}" Statement: "{b}"', 'Text: "{a}" Filled: "{b}"',
            'Read "{a}" and check "{b}"',
        ),
        ("the name does not fit", "the name fits"), YES_NO,
    ),
    "wic": Phrasing(
        (
            "You are an assistant that tests if words have the same meaning twice.",
            "You are a judge. Does the word have the same or a different meaning?",
            "Does the word mean the same in both sentences?", "Compare the meaning of a word in two sentences.",
            "Word sense test : one sense or two?", "You look at a word in context and tell if its sense is the same.",
            "Is the word used in the same sense twice?",
        ),
        (
            'Word: "{c}"\nFirst: "{a}"\nSecond: "{b}"', 'Word: "{c}" First: "{a}" Second: "{b}"',
            "The word '{c}' in '{a}' and in '{b}'", '"{c}" : "{a}" and "{b}"',
            "Look at '{c}'. Sentence one: '{a}' Sentence two: '{b}'", 'How is "{c}" used in "{a}" and "{b}"?',
        ),
        ("the senses differ", "the sense is the same"),
        (("Different", "Same"), ("different", "same"), ("No", "Yes")),
    ),
    "wsc": Phrasing(
        (
            "You are an assistant that tests what pronouns mean.", "You are a judge. Does the pronoun mean this noun?",
            "Does the pronoun mean the given noun?", "Who or what is meant by the pronoun?",
            "Say whether the pronoun points to the noun phrase.",
        ),
        (
            'Text: "{a}"\nPronoun: "{c}"\nNoun: "{b}"', 'Pronoun: "{c}" Noun: "{b}" Text: "{a}"',
            'In "{a}" does "{c}" mean "{b}"?', '"{a}" Is "{c}" the same as "{b}"?',
        ),
        ("the pronoun means another one", "the pronoun means that noun"), YES_NO,
    ),
    "stsb-classes": Phrasing(
        (
            "You are an assistant that sorts pairs of texts by how close they are.",
            "You are an editor. Name the class from 0 to 5 that the two belong to.",
            "How much of the meaning is the same?", "Say how similar two sentences are by a whole number.",
            "Similarity test : one class from 0 to 5.",
        ),
        _PAIR, ("nothing is the same",) + ("something differs",) * 4 + ("nothing differs",), (tuple("012345"),),
    ),
    "movie-reviews": Phrasing(
        (
            "You are an assistant that reads long reviews.", "You are a critic. Is the film good in the end?",
            "What does the writer think of the whole film?", "Sort texts about a movie by what they say of the whole.",
            "Does the reviewer say that the movie is good or bad?",
        ),
        (*_ONE, 'Review: "{a}"', 'A long review says "{a}".'),
        ("the film is bad", "the film is good"), (("Negative", "Positive"), ("negative", "positive"), ("No", "Yes")),
    ),
    "ag-news": Phrasing(
        (
            "You are an assistant that sorts news.", "You are an editor. Where does this text belong?",
            "Name the kind of news.", "Sort news by what they are about.", "Which kind of news is it?",
        ),
        (*_ONE, 'Text: "{a}"', 'The news said : "{a}"'),
        (
            "it is about war and peace", "it is about a team or a match", "it is about a company or a market",
            "it is about a new thing that was found",
        ),
        (("World", "Sports", "Business", "Science"),),
    ),
    "app-reviews": Phrasing(
        (
            "You are an assistant that reads reviews of apps.", "You are a user. How good is the app?",
            "Rate the app from 1 to 5.", "Say how good the app is by a number from 1 to 5.",
            "Find the number of stars that the review means.",
        ),
        (*_ONE, 'Review: "{a}"', 'A user says "{a}".'),
        ("it is very bad", "it is bad", "it is as good as bad", "it is good", "it is very good"), (tuple("12345"),),
    ),
}
FORMATS = (
    "Reply with {w} only.", "Write {w}.", "Use this form :\n<Judgement> {{Put {w} here}} </Judgement>",
    "Your reply has this form :\n<Judgement> {{Write just {w}}} </Judgement>", "The label is {w}.",
    "Respond in the following way :\n<Judgement> {{Only {w} go here}} </Judgement>", "",
)
REASONED_FORMATS = (
    "Give the reason and then {w}.", "First say why, then write {w}.",
    "Use this form :\n{{Say why}} <Judgement> {{Put {w} there}} </Judgement>",
    "Your reply has this form :\n{{Write the reason}} <Judgement> {{Write just {w}}} </Judgement>",
    "Respond in the following way :\n{{Put the explanation there}} <Judgement> {{Only {w} go there}} </Judgement>",
)
# (head, item, item with judgement tags?) : {i} instruction, {f} format, {q} query, the answer follows the item
SKELETONS = (
    ("System_prompt:\n{i}\n{f}\n", "Prompt:\n{q}\nAssistant:\n", True),
    ("System_prompt:\n{i}\n\n{f}\n", "Prompt:\n{q}\nAssistant:\n", True),
    ("Task: {i} {f}\n", "Input: {q}\nOutput:", True),
    ("{i}\n{f}\n\n", "{q}\nAnswer:", True),
    ("Instruction: {i} {f}\n", "Q: {q}\nA:", False),
    ("User: {i} {f}\n", "{q}\nAssistant:", True),
    ("### {i} {f}\n", "{q} =", False),
    ("System: {i}\n{f}\n", "Prompt: {q}\n", True),
)
DEMO_LINES = ("Some solved ones :\n", "For example :\n", "Examples follow.\n", "These are solved :\n", "")
CARRIERS = (
    "Read this and reply : {q}", "{q} Please decide.", "Now look : {q}", "Please check {q}", "The case is {q}",
    "{q} Which label fits?", "Can you tell? {q}", "Think about {q}", "What do you say ? {q}", "Is it so or not ? {q}",
    "Which one is it ? {q}", "What would you say here ? {q}", "Please judge this one . {q}",
)
# label words of the tasks that pretraining shows least: it also shows them as arbitrary labels of other tasks
OTHER_LABELS = [
    ("World", "Sports"), ("Business", "Science"), ("Sports", "Business"), ("Science", "World"), ("1", "5"), ("2", "4"),
    ("3", "1"), ("5", "2"), ("4", "3"),
]
# one wording a task that pretraining never shows: description and query with the same letters as above
PROBES: dict[str, tuple[str, str]] = {
    "cola": (
        "As an editor you decide if what was written is acceptable English.",
        'Please tell me if "{a}" is acceptable as it stands',
    ),
    "sst2": (
        "As a critic you decide which sentiment a comment has.", 'Please tell me which sentiment there is in "{a}"',
    ),
    "mrpc": (
        "As an editor you decide if one sentence paraphrases another.",
        'Please tell me if "{a}" and "{b}" are paraphrases',
    ),
    "qqp": (
        "As an editor you decide if one question paraphrases another.",
        'Please tell me if "{a}" and "{b}" are paraphrases',
    ),
    "stsb": (
        "As an editor you give a similarity score from 0 to 5 to two sentences.",
        'Please tell me the similarity of "{a}" and "{b}"',
    ),
    "mnli": (
        "As an expert you decide which relation a hypothesis has to a premise.",
        'Please tell me the relation of the premise "{a}" to the hypothesis "{b}"',
    ),
    "cb": (
        "As an expert you decide which relation a hypothesis has to a premise.",
        'Please tell me the relation of the premise "{a}" to the hypothesis "{b}"',
    ),
    "rte": ("As an expert you decide if one sentence entails another.", 'Please tell me if "{a}" entails "{b}"'),
    "qnli": (
        "As an expert you decide if a sentence answers a question.",
        'Please tell me if the question "{a}" is answered by "{b}"',
    ),
    "wnli": (
        "As an expert you decide if one sentence follows from another with a pronoun.",
        'Please tell me if from "{a}" follows "{b}"',
    ),
    "boolq": (
        "As an expert you give the answer to a question on a passage.",
        'Please use the passage "{b}" to tell me "{a}?"',
    ),
    "copa": (
        "As an expert you decide which option is the {q} of a premise.",
        'Please tell me the {q} of the premise "{a}" where option one is "{b}" and option two is "{c}"',
    ),
    "multirc": (
        "As an expert you decide if an answer agrees with a passage.",
        'Please use the passage "{a}" and the question "{b}" to check the answer "{c}"',
    ),
    "record": (
        "As an expert you decide if a sentence agrees with a passage.", 'Please use the passage "{a}" to check "{b}"',
    ),
    "wic": (
        "As an editor you decide if a word has one meaning in two contexts.",
        "Please tell me if '{c}' means the same in '{a}' and '{b}'",
    ),
    "wsc": (
        "As an editor you decide if a pronoun refers to a noun.",
        'Please tell me if in "{a}" the pronoun "{c}" refers to "{b}"',
    ),
}


def pretraining_texts() -> list[str]:
    """Every wording that pretraining may show."""
    texts = [t for word in TASK_WORDING.values() for t in (*word.instructions, *word.queries, *word.conditions)]
    return [*texts, *FORMATS, *REASONED_FORMATS, *DEMO_LINES, *CARRIERS, *(part for s in SKELETONS for part in s[:2])]
