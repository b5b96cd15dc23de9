"""Which numbers say how many, and which do not."""

from __future__ import annotations

import pytest

from dreamscope.visualizers.audit.nouns import noun_of, plural, singular
from dreamscope.visualizers.audit.numbers import answered, counted_noun, counts_of, enumerated


@pytest.mark.parametrize(
    ("question", "noun"),
    [
        ("How many dogs are there?", "dog"),
        ("how many people are wearing hats", "person"),
        ("How many brown dogs do you see?", "dog"),
        ("How many dogs on the sofa are asleep?", "dog"),
        ("Count the butterflies.", "butterfly"),
        ("What is the number of buses?", "bus"),
        ("What's the total number of cups in the image?", "cup"),
        ("Please count all strawberries", "strawberry"),
        ("What colour is the dog?", None),
        ("Is there a dog?", None),
        ("What number is on the bus?", None),
        ("How much water is there?", None),
        ("", None),
    ],
)
def test_what_is_counted(question, noun):
    assert counted_noun(question) == noun


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("3", 3),
        ("Three.", 3),
        ("None", 0),
        ("zero", 0),
        ("There are 3 dogs.", 3),
        ("There are no dogs in the image.", 0),
        ("I can see twelve small dogs on the grass.", 12),
        ("There are four dogs: two brown dogs and two white ones.", 4),
        ('{"count": 3}', 3),
        ("In 2019 there were 2 dogs.", 2),
        ("The dogs are brown.", None),
        ("Several.", None),
        ("No, there is a cat.", None),
        ("It is 3:45 pm.", None),
        ("The bus 42 is full.", None),
        ("$3", None),
        ("3.5", None),
    ],
)
def test_the_number_of_an_answer(answer, number):
    assert answered(answer, "dog") == number


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("In 2019 the 3 dogs sat at 10:30 near 5th street.", [3]),
        ("I see one dog by the tree and one dog by the fence.", []),
        ("There is one dog.", [1]),
        ("Two of the dogs are brown, so there are three.", [3]),
        ("I find no dogs.", [0]),
        ("Two cats and a dog.", []),
        ("Dog number 3 is brown. The 2 brown dogs and 1 white dog bark.", [2]),
        ("twenty dogs", [20]),
        ("A dog, aged 3, with 4 legs.", []),
        ("two-year-old dogs", []),
        ("Route 66 dogs", [66]),
    ],
)
def test_numbers_of_dogs(text, values):
    assert [count.value for count in counts_of(text, "dog") if not count.weak] == values


@pytest.mark.parametrize(
    ("answer", "listed"),
    [
        ("Two dogs, a red car and a cat.", [(2, "dog"), (1, "car"), (1, "cat")]),
        ("An apple.", [(1, "apple")]),
        ("Three fish and an owl", [(3, "fish"), (1, "owl")]),
        ("A dog is chasing a cat in the park today.", []),
        ("Yes", []),
        ("", []),
        ("Red", []),
    ],
)
def test_answers_that_list(answer, listed):
    assert [(count.value, count.nouns[0]) for count in enumerated(answer)] == listed


@pytest.mark.parametrize(
    ("words", "noun"),
    [
        ("a dog", "dog"),
        (" dog 2", "dog"),
        ("the brown dogs", "dog"),
        ("a man in a red shirt", "man"),
        ("a group of three people", "person"),
        ("traffic lights", "light"),
        ("the man's hat", "hat"),
        ("12", ""),
        ("the", "the"),
        ("größere Häuser", "häuser"),
        ("", ""),
    ],
)
def test_the_noun_of_a_span(words, noun):
    assert noun_of(words) == noun


@pytest.mark.parametrize(
    ("many", "one"),
    [
        ("dogs", "dog"), ("butterflies", "butterfly"), ("foxes", "fox"), ("buses", "bus"), ("fish", "fish"),
        ("houses", "house"), ("octopuses", "octopus"), ("people", "person"), ("glasses", "glass"),
        ("horses", "horse"), ("tomatoes", "tomato"), ("shoes", "shoe"), ("benches", "bench"),
        ("knives", "knife"), ("cities", "city"),
    ],
)  # fmt: skip
def test_singular_and_plural(many, one):
    assert singular(many) == one
    assert singular(one) == one
    assert plural(one) in (many, "glasses")
