"""What is found in a text for what comes next."""

from random import Random

from gemma_mtp.decoding.lookup import FURTHEST, Lookup


def found(text, limit=4):
    tokens, agreement = Lookup(list(text)).find(limit)
    assert len(tokens) == len(agreement)
    return "".join(tokens)


def test_what_followed_the_last_time_is_found():
    assert found("the cat sat. the cat ") == "sat."


def test_nothing_is_found_where_no_three_tokens_agree():
    assert found("abcdefgh") == ""
    assert found("ab cab") == ""
    assert found("ab") == ""
    assert found("") == ""


def test_of_several_places_the_one_that_agrees_longest_is_taken():
    assert found("a red fox ran. the fox hid. a red fox ") == "ran."


def test_of_places_that_agree_as_long_the_latest_is_taken():
    assert found("xabc1 yabc2 zabc", 1) == "2"


def test_a_text_that_repeats_itself_is_taken_to_go_on_so():
    assert found("ababab", 5) == "ababa"


def test_agreement_grows_with_every_token_and_is_never_certain():
    text = list("0123456789" * 30)
    tokens, agreement = Lookup(text).find(7)
    assert tokens == list("0123456")
    assert agreement == sorted(agreement)
    assert 1 - 1 / FURTHEST <= agreement[0] < agreement[-1] < 1
    assert Lookup(list("xabcd yabc")).find(1)[1] < agreement[:1]


def test_a_growing_text_gives_what_a_new_one_would():
    random = Random(1)
    history = [random.randrange(3) for _ in range(5)]
    lookup = Lookup(history)
    for _ in range(200):
        assert lookup.find(5) == Lookup(list(history)).find(5)
        history += [random.randrange(3) for _ in range(random.randrange(4))]
