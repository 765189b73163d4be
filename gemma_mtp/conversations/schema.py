"""The tables of the file of conversations, by the steps that made them. Used by `archive`.

An older file gets the steps it has not had, all of them or none. What an older program reads keeps
its meaning (`user` and `reply` are the text of a turn), so that it can still show a newer file.
"""

# `version` is another random number after every change, so that a writer sees that it is not the
# only one. A reply that is being written is its row in `turns` and the `pieces` that came after:
# what a round costs does not depend on how long the reply is.
_FIRST = """
CREATE TABLE conversations (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL,
    named INTEGER NOT NULL, words TEXT NOT NULL, model TEXT NOT NULL, system TEXT NOT NULL,
    created TEXT NOT NULL, updated TEXT NOT NULL, version INTEGER NOT NULL);
CREATE TABLE turns (conversation INTEGER NOT NULL, number INTEGER NOT NULL, user TEXT NOT NULL,
    reply TEXT, tokens TEXT, thought TEXT NOT NULL, seed TEXT, exact INTEGER NOT NULL,
    reason TEXT, stats TEXT, UNIQUE (conversation, number));
CREATE TABLE pieces (conversation INTEGER NOT NULL, number INTEGER NOT NULL, place INTEGER NOT NULL,
    reply TEXT, thought TEXT NOT NULL, PRIMARY KEY (conversation, number, place)) WITHOUT ROWID;
"""
_VIEW = """
CREATE VIEW whole AS SELECT conversation, number, user, coalesce(reply || more, reply, more) reply,
    CASE WHEN more_thought IS NULL THEN tokens END tokens,
    thought || coalesce(more_thought, '') thought, seed, exact, reason, stats{more}
  FROM (SELECT *,
    (SELECT group_concat(reply, '') FROM (SELECT reply FROM pieces p
        WHERE p.conversation = t.conversation AND p.number = t.number ORDER BY place)) more,
    (SELECT group_concat(thought, '') FROM (SELECT thought FROM pieces p
        WHERE p.conversation = t.conversation AND p.number = t.number ORDER BY place)) more_thought
  FROM turns t)
"""
# So many of the first turns are saved, but no longer part of the prompt.
_SKIPPED = "ALTER TABLE conversations ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0"
# Messages that are more than one text each, as JSON.
_MESSAGES = "ALTER TABLE turns ADD COLUMN messages TEXT; DROP VIEW whole;" + _VIEW.format(
    more=", messages, more"
)
# Only ever added to: there are files that have had the ones before.
STEPS = (_FIRST + _VIEW.format(more=""), _SKIPPED, _MESSAGES)
