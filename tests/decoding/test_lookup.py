"""What is found in a text for what comes next."""

from random import Random

from gemma_mtp.decoding.lookup import LONGEST_AGREEMENT, Lookup
from gemma_mtp.decoding.transcript import of_tokens


def find(text, limit, lookup=None):
    """Tokens, and how sure the lookup is of each."""
    pairs = list((lookup or Lookup()).propose(of_tokens(text), None, limit))
    return [token for token, _ in pairs], [sure for _, sure in pairs]


def found(text, limit=4):
    return "".join(find(text, limit)[0])


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
    tokens, agreement = find(text, 7)
    assert tokens == list("0123456")
    assert agreement == sorted(agreement)
    assert 1 - 1 / LONGEST_AGREEMENT <= agreement[0] < agreement[-1] < 1
    assert find("xabcd yabc", 1)[1] < agreement[:1]


def test_a_growing_text_gives_what_a_new_one_would():
    random = Random(1)
    history = [random.randrange(3) for _ in range(5)]
    lookup = Lookup()
    for _ in range(200):
        assert find(history, 5, lookup) == find(history, 5)
        history += [random.randrange(3) for _ in range(random.randrange(4))]
