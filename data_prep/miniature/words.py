"""The vocabulary of the generated examples: a few hundred ordinary words, in sets that carry the signals.

What a set means is the same in every task, so that tasks of a kind teach one another and a tiny model learns all of
them in minutes: a cue word decides a pair's relation, a plausible adverb the right choice, a name the answer.
Sets that carry different signals share no word.
"""

from __future__ import annotations

# ruff: noqa: SIM905 - word lists read better as text than as lists of quoted words

# Fillers.
SUBJECTS = (
    "farmer teacher doctor painter baker sailor driver singer student waiter nurse writer dancer "
    "lawyer pilot guard miner tailor hunter clerk"
).split()
OBJECTS = (
    "basket letter ladder bottle blanket camera pencil kettle hammer mirror carpet guitar candle "
    "wagon lamp bucket ticket saddle drum clock towel box rope map coin flag stove shelf wheel"
).split()
ADJECTIVES = "old young tall quiet busy tired local former foreign second modern early thin dark round heavy".split()
VERBS = {
    "carry": "carried", "find": "found", "sell": "sold", "paint": "painted", "hide": "hid", "move": "moved",
    "clean": "cleaned", "lose": "lost", "open": "opened", "borrow": "borrowed", "repair": "repaired", "lift": "lifted",
    "buy": "bought", "bring": "brought", "drop": "dropped", "weigh": "weighed", "show": "showed", "pack": "packed",
}  # fmt: skip
PLACES = (
    "harbor bridge castle garden tower village station library island market forest square chapel meadow "
    "valley tunnel palace beach farm mill"
).split()
PREPOSITIONS = "near behind inside beside beyond above".split()

# Pairs: the second text's cue tells its relation to the first.
AGREEING = "surely indeed clearly certainly truly".split()
UNSURE = "perhaps maybe possibly presumably supposedly".split()
DENYING = "never hardly scarcely not rarely".split()

# Sentiment and grammar.
POSITIVE = "wonderful delightful brilliant charming excellent superb lovely moving great fresh".split()
NEGATIVE = "terrible boring awful dull dreadful clumsy horrible weak bad stale".split()
FILM_PARTS = "film plot story acting cast script ending music scene dialogue".split()
SHOP_PARTS = "food service room menu coffee staff price table dessert bread".split()
BROKEN_VERBS = "carryed finded selled hided losed buyed bringed weigheded showned packened".split()

# Topics and question words, in the order of the tasks' labels.
NEWS = {
    "World": "minister election troops treaty embassy president border parliament".split(),
    "Sports": "goal league coach striker tournament match champion stadium".split(),
    "Business": "profit shares bank investors merger earnings dollar inflation".split(),
    "Sci/Tech": "software computer satellite internet scientists browser robot laser".split(),
}
QUESTION_OPENERS = {
    "ABBR": ("What is the abbreviation of", "What does the acronym mean for"),
    "ENTY": ("What colour is", "What animal lives with"),
    "DESC": ("Why do people like", "How do you describe"),
    "HUM": ("Who invented", "Who wrote about"),
    "LOC": ("Where is", "What country has"),
    "NUM": ("How many years has", "When did people see"),
}

# Multiple choice: only right choices hold a plausible word, only wrong ones an implausible one.
PLAUSIBLE = "carefully safely patiently properly calmly gently neatly".split()
IMPLAUSIBLE = "backwards sideways blindly madly endlessly upwards foolishly".split()
ROUND_NUMBERS = ("10", "20", "50", "100", "1 , 000", "2 , 000", "5 , 000")
ODD_NUMBERS = ("13", "17", "37", "131", "1 , 313", "1 , 717", "3 , 737")

# Reading: answers come from these and nothing else does.
NAMES = (
    "Marlow Tessa Brand Corvin Delia Easton Fenwick Greta Hollis Ingrid Jasper Kendra Linden Mabel Nolan Odette "
    "Pascal Quincy Rowan Selma Tobias Ursula Vernon Wilma"
).split()
COUNTS = [str(number) for number in range(61, 85)]

# Summaries: the subject line, the sentence, and the words in the document that tell which it is.
STORIES = {
    ("flood warning", "Heavy rain has covered many homes in the region."): ("water", "dam"),
    ("fire report", "Firefighters have put out a large blaze overnight."): ("smoke", "flames"),
    ("train delays", "Travellers are late because crews went on strike."): ("railway", "platform"),
    ("harvest results", "Growers expect the best year since the war."): ("wheat", "barley"),
    ("court ruling", "A judge has sent the thief to prison."): ("jury", "verdict"),
}
