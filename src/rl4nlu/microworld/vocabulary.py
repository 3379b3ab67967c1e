"""The words that the microworld's models know: those of the world, its prompts and labels, and some that prompts may need."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import lru_cache

from . import generators, lexicon, templates

WORD = re.compile(r"[^\W\d_]+")

# fmt: off
# words that prompts elsewhere may use and the texts above don't; they are trained in word lists
EXTRA_WORDS = [
    "helpful", "assistant", "assistants", "analyse", "analyses", "analyze", "analyzes", "analyzing", "analysis",
    "determine", "determines", "determining", "acceptability", "acceptable", "unacceptable", "linguistically",
    "linguistic", "grammatically", "Your", "your", "task", "Now", "now", "judge", "judging", "judgement", "Judgement",
    "Insert", "insert", "only", "here", "Here", "are", "some", "examples", "example", "Answer", "answer", "answers",
    "answering", "format", "following", "follows", "Please", "please", "based", "on", "whether", "given", "provided",
    "with", "without", "should", "respond", "response", "output", "input", "return", "whole", "sentence", "sentences",
    "pair", "pairs", "corpus", "semantic", "semantically", "equivalent", "equivalence", "similar", "similarity",
    "score", "scores", "float", "number", "numbers", "between", "range", "relationship", "logical", "relation",
    "premise", "hypothesis", "entails", "entail", "entailed", "entailment", "neutral", "contradiction", "contradicts",
    "paraphrase", "paraphrases", "paraphrased", "sentiment", "positive", "negative", "review", "reviews", "movie",
    "option", "options", "cause", "causes", "effect", "effects", "choose", "choice", "choices", "correct", "incorrect",
    "passage", "passages", "question", "questions", "consistent", "consistency", "candidate", "candidates", "fill",
    "filled", "placeholder", "query", "grammatical", "logic", "logically", "word", "words", "meaning", "meanings",
    "sense", "context", "contexts", "pronoun", "pronouns", "noun", "phrase", "phrases", "refer", "refers", "referring",
    "used", "use", "uses", "same", "different", "text", "texts", "evaluate", "evaluates", "evaluation", "evaluating",
    "classify", "classifies", "classification", "identify", "identifies", "identifying", "decide", "decides", "whose",
    "who", "which", "what", "when", "where", "while", "its", "their", "they", "them", "this", "that", "these", "those",
    "there", "has", "have", "had", "be", "been", "being", "was", "were", "is", "are", "am", "do", "does", "did", "can",
    "could", "may", "might", "must", "shall", "will", "would", "your", "you", "we", "our", "us", "of", "in", "on", "at",
    "by", "for", "from", "to", "into", "as", "or", "and", "if", "then", "than", "not", "no", "yes", "more", "most",
    "less", "least", "likely", "very", "also", "both", "each", "either", "neither", "any", "all", "every", "such", "so",
    "because", "therefore", "however", "but", "else", "otherwise", "above", "below", "according", "expert", "language",
    "understanding", "model", "English", "analysis", "short", "explain", "explanation", "reason", "reasoning", "step",
    "first", "second", "third", "one", "two", "three", "four", "five", "zero", "true", "false", "statement",
    "statements", "fact", "facts", "content", "information", "plausible", "alternative", "event", "events", "situation",
    "scenario", "compare", "comparing", "compares", "comparison", "measure", "measures", "measuring", "rate", "rating",
    "rates", "rated", "degree", "high", "low", "value", "values", "scale", "system", "prompt", "user", "human", "label",
    "labels", "category", "categories", "class", "classes", "topic", "kind", "type", "name", "names", "entity",
    "entities", "mention", "mentions", "article", "document", "paragraph", "story", "summary", "highlight",
    "highlights", "read", "reading", "reads", "carefully", "consider", "considering", "think", "tell", "tells", "say",
    "says", "said", "state", "states", "express", "expresses", "expressed", "conveys", "convey", "writer", "reviewer",
    "author", "opinion", "opinions", "feeling", "feelings", "emotion", "tone", "overall", "good", "bad", "well",
    "formed", "structure", "structures", "syntax", "error", "errors", "mistake", "mistakes", "native", "speaker",
    "speakers", "sound", "sounds", "natural", "strictly", "exactly", "just", "single", "quotes", "quoted", "brackets",
    "nothing", "something", "anything", "support", "supports", "supported", "supporting", "infer", "inferred", "infers",
    "inference", "conclude", "conclusion", "concluded", "imply", "implies", "implied", "verify", "check", "checks",
    "task", "tasks", "need", "needs", "want", "asked", "ask", "asks", "asking", "answerable", "contain", "contains",
    "contained", "containing", "hold", "holds", "held", "resolve", "resolves", "resolved", "coreference", "denote",
    "denotes", "stand", "stands", "Option", "options", "Yes", "No", "Entailment", "Contradiction", "Neutral",
    "Positive", "Negative", "True", "False", "Same", "Different", "One", "Two", "Unanswerable", "close", "gives",
    "give", "Statement", "Passage", "Question", "Sentence", "Event", "Premise", "Hypothesis", "Word", "Text", "Claim",
    "Judge", "Review", "Score", "How", "Is", "Do", "Does", "What", "Which", "Given", "Decide", "finds", "reads", "fits",
    "fit", "follow", "followed", "ask", "thing", "things", "go", "goes", "mean", "means", "Noun", "Pronoun", "Query",
    "Candidate", "Placeholder", "Option", "First", "Second", "Third", "truth", "assistant", "apart", "critic", "reader",
    "reasons", "why", "Why", "when", "step", "Rationale", "Reason", "Explanation", "Analysis", "Label", "Summary",
    "summarize", "Summarize", "continue", "Continue", "article", "news", "topics", "World", "Sports", "Business",
    "Science", "concept", "concepts", "Write", "write", "use", "every", "word", "sentence", "describing", "scene",
    "title", "post", "Title", "Post", "Technology", "app", "apps", "star", "stars", "useful", "useless", "slow", "fast",
    "crashes", "update", "market", "company", "minister", "war", "peace", "coach", "goal", "league", "computer",
    "mainly", "about", "means", "thus", "hence", "agrees", "rule", "rules", "breaks", "broken", "clause", "decides",
    "her", "him",
]
# fmt: on


def vocabulary_texts() -> list[str]:
    """Everything whose words the tokenizer must hold: pretraining wordings, probes, label words and extra words."""
    labels = [word for wording in templates.TASK_WORDING.values() for pair in wording.labels for word in pair]
    return [
        *templates.pretraining_texts(),
        *labels,
        *EXTRA_WORDS,
        *(t for probe in templates.PROBES.values() for t in probe),
    ]


def words_of(texts: Iterable[str]) -> list[str]:
    """The distinct words of some texts, sorted."""
    found: set[str] = set()
    for text in texts:
        found.update(WORD.findall(text))
    return sorted(found)


@lru_cache(maxsize=1)
def world_words() -> tuple[str, ...]:
    """Every word that the world, its prompts and its labels use."""
    texts = [json.dumps([v for k, v in vars(lexicon).items() if k.isupper()], default=str)]
    texts += vocabulary_texts()
    for task in generators.VOCABULARY_TASKS:
        texts += [json.dumps(generators.clean(r)) for r in generators.rows(task, "train", 200, 0)]
    return tuple(words_of(text.replace("\\n", " ") for text in texts))
