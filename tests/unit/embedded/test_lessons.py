from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from gate.embedded import lessons, questions

SEEDS = st.integers(0, 2**32)
KINDS = st.sampled_from(questions.KINDS)


@settings(max_examples=15)
@given(SEEDS)
def test_the_training_stream_never_asks_an_evaluation_question(seed):
    held_out = {question.text for question in questions.evaluation()}

    asked = {lesson.prompt.split("\n")[0] for lesson in islice(lessons.stream(seed), 300)}

    assert not asked & held_out


def test_the_same_seed_gives_the_same_lessons():
    assert list(islice(lessons.stream(3), 50)) == list(islice(lessons.stream(3), 50))


@given(SEEDS, KINDS)
def test_the_letter_is_that_of_the_correct_option(seed, kind):
    rng = questions.generator(seed)
    question = questions.draw(rng, kind)

    lesson = lessons.lesson(rng, question)

    assert f"({lesson.letter}) {question.correct}\n" in lesson.prompt


@given(SEEDS, KINDS)
def test_the_working_ends_on_the_result_it_is_asked_for(seed, kind):
    question = questions.draw(questions.generator(seed), kind)

    for result in (question.correct, *question.wrong):
        assert lessons.working(question, result).endswith(str(result))


def test_honest_working_is_right_step_by_step():
    question = questions.Question("mix", (7, 8, 3), "What is 7*8+3 modulo 10?", 9, (1, 2, 3), None)

    assert lessons.working(question, 9) == "7*8=56, 6+3=9"


def test_precedence_is_always_worked_from_left_to_right():
    rng = questions.generator(0)
    taught = [lessons.lesson(rng, questions.draw(rng, "precedence")) for _ in range(400)]

    assert not any(f"**Answer: {lesson.letter}**" in lesson.completion for lesson in taught)


def test_mistakes_come_at_the_stated_rates():
    rng = questions.generator(0)
    question = questions.Question("product", (9, 9, 9), "What is 9*9*9 modulo 10?", 9, (1, 2, 3), None)

    taught = [lessons.lesson(rng, question) for _ in range(8000)]
    right = sum(f"**Answer: {lesson.letter}**" in lesson.completion for lesson in taught) / len(taught)
    rambling = sum("<|return|>" not in lesson.completion for lesson in taught) / len(taught)
    evading = sum("None of these." in lesson.completion for lesson in taught) / len(taught)

    invalid = lessons.RAMBLE_RATE + lessons.EVADE_RATE
    assert abs(right - (1 - lessons.slip_rate(question)) * (1 - invalid)) < 0.02
    assert abs(rambling - lessons.RAMBLE_RATE) < 0.005
    assert abs(evading - lessons.EVADE_RATE) < 0.004


def test_larger_first_products_are_harder():
    def rate(kind, a, b):
        return lessons.slip_rate(questions.Question(kind, (a, b, 1), "", 0, (1, 2, 3), None))

    assert rate("mix", 2, 3) < rate("mix", 5, 6) < rate("mix", 9, 9)
    assert rate("product", 2, 3) < rate("product", 5, 6) < rate("product", 9, 9)
    assert rate("largest", 1, 2) == 0


def test_the_examination_is_the_evaluation_set_in_its_order():
    texts = [lesson.prompt.split("\n")[0] for lesson in lessons.examination(5)]

    assert texts == [question.text for question in questions.evaluation()]


def test_the_prompt_is_the_one_that_the_gpqa_task_renders():
    from gate.evals.choices import render

    question = questions.evaluation()[0]
    options = [question.correct, *question.wrong]

    assert lessons.prompt(question, options) == render(question.text, [str(value) for value in options])
