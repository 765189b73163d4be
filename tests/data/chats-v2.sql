PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE conversations (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL,
    named INTEGER NOT NULL, words TEXT NOT NULL, model TEXT NOT NULL, system TEXT NOT NULL,
    created TEXT NOT NULL, updated TEXT NOT NULL, version INTEGER NOT NULL, skipped INTEGER NOT NULL DEFAULT 0);
INSERT INTO "conversations" VALUES(1,'Rain & Größe',1,'[/tmp/sp ace.txt, 1 line] Sum it up. Größe 🦀?','e2b','Be brief.','2026-11-27T23:20:54.867+00:00','2026-11-27T23:20:54.879+00:00',3825106704460545462,1);
INSERT INTO "conversations" VALUES(2,'Rain & Größe',1,'[/tmp/sp ace.txt, 1 line] Sum it up. Größe 🦀?','e2b','Be brief.','2026-11-27T23:20:54.879+00:00','2026-11-27T23:20:54.879+00:00',849238550004980262,1);
INSERT INTO "conversations" VALUES(3,'Tell me ''all''',0,'Tell me ''all''','tiny','','2026-11-27T23:20:54.881+00:00','2026-11-27T23:20:54.882+00:00',2377283188084193238,0);
INSERT INTO "conversations" VALUES(4,'No answer',0,'No answer','tiny','','2026-11-27T23:20:54.882+00:00','2026-11-27T23:20:54.882+00:00',3101238023878391564,0);
INSERT INTO "conversations" VALUES(5,'Only a thought',0,'Only a thought','tiny','','2026-11-27T23:20:54.882+00:00','2026-11-27T23:20:54.882+00:00',1304554557127926343,0);
INSERT INTO "conversations" VALUES(6,'oops',0,'oops','tiny','','2026-11-27T23:20:54.883+00:00','2026-11-27T23:20:54.885+00:00',2851861930719169178,0);
CREATE TABLE pieces (conversation INTEGER NOT NULL, number INTEGER NOT NULL, place INTEGER NOT NULL,
    reply TEXT, thought TEXT NOT NULL, PRIMARY KEY (conversation, number, place)) WITHOUT ROWID;
INSERT INTO "pieces" VALUES(3,1,1,NULL,', ');
INSERT INTO "pieces" VALUES(3,1,2,NULL,'so');
INSERT INTO "pieces" VALUES(3,1,3,'Wö','');
INSERT INTO "pieces" VALUES(3,1,4,'rds','');
INSERT INTO "pieces" VALUES(3,1,5,' and 🦀 
','');
CREATE TABLE turns (conversation INTEGER NOT NULL, number INTEGER NOT NULL, user TEXT NOT NULL,
    reply TEXT, tokens TEXT, thought TEXT NOT NULL, seed TEXT, exact INTEGER NOT NULL,
    reason TEXT, stats TEXT, UNIQUE (conversation, number));
INSERT INTO "turns" VALUES(1,0,'<file name="/tmp/sp ace.txt">
Rain falls.
</file>

Sum it up. Größe 🦀?','It rains.
```py
x = 1
```','[5, 6, 7, 8, 9, 1]','Let me see.','9223372036854775807',1,'stop','{"prompt_tokens": 21, "cached_tokens": 4, "completion_tokens": 6, "rounds": 3, "decoded": 5, "drafted": 6, "accepted": 2, "copied": 1, "accepted_histogram": [1, 2], "threads": {"2": 3}, "prefill_seconds": 0.25, "ttft_seconds": 0.3, "decode_seconds": 0.125, "draft_seconds": 0.02, "verify_seconds": 0.1, "sampling_seconds": 0.001, "plain_seconds": 0.2, "plain_deviation": 0.01, "compared_seconds": 0.125, "speedup_basis": "measured", "context_used": 27, "context_size": 8192}');
INSERT INTO "turns" VALUES(1,1,'Go on','Once upon a time','[11, 12]','','3',0,'cancelled','{"prompt_tokens": 21, "cached_tokens": 4, "completion_tokens": 6, "rounds": 9, "decoded": 5, "drafted": 6, "accepted": 2, "copied": 1, "accepted_histogram": [1, 2], "threads": {"2": 3}, "prefill_seconds": 0.25, "ttft_seconds": 0.3, "decode_seconds": 0.125, "draft_seconds": 0.02, "verify_seconds": 0.1, "sampling_seconds": 0.001, "plain_seconds": 0.2, "plain_deviation": 0.01, "compared_seconds": 0.125, "speedup_basis": "measured", "context_used": 27, "context_size": 8192}');
INSERT INTO "turns" VALUES(1,2,'And then?','The end.',NULL,'',NULL,0,'length',NULL);
INSERT INTO "turns" VALUES(1,3,'theirs',NULL,NULL,'',NULL,0,NULL,NULL);
INSERT INTO "turns" VALUES(2,0,'<file name="/tmp/sp ace.txt">
Rain falls.
</file>

Sum it up. Größe 🦀?','It rains.
```py
x = 1
```','[5, 6, 7, 8, 9, 1]','Let me see.','9223372036854775807',1,'stop','{"prompt_tokens": 21, "cached_tokens": 4, "completion_tokens": 6, "rounds": 3, "decoded": 5, "drafted": 6, "accepted": 2, "copied": 1, "accepted_histogram": [1, 2], "threads": {"2": 3}, "prefill_seconds": 0.25, "ttft_seconds": 0.3, "decode_seconds": 0.125, "draft_seconds": 0.02, "verify_seconds": 0.1, "sampling_seconds": 0.001, "plain_seconds": 0.2, "plain_deviation": 0.01, "compared_seconds": 0.125, "speedup_basis": "measured", "context_used": 27, "context_size": 8192}');
INSERT INTO "turns" VALUES(2,1,'Go on','Once upon a time','[11, 12]','','3',0,'cancelled','{"prompt_tokens": 21, "cached_tokens": 4, "completion_tokens": 6, "rounds": 9, "decoded": 5, "drafted": 6, "accepted": 2, "copied": 1, "accepted_histogram": [1, 2], "threads": {"2": 3}, "prefill_seconds": 0.25, "ttft_seconds": 0.3, "decode_seconds": 0.125, "draft_seconds": 0.02, "verify_seconds": 0.1, "sampling_seconds": 0.001, "plain_seconds": 0.2, "plain_deviation": 0.01, "compared_seconds": 0.125, "speedup_basis": "measured", "context_used": 27, "context_size": 8192}');
INSERT INTO "turns" VALUES(2,2,'mine','Yours.','[1, 2]','','4',0,'stop',NULL);
INSERT INTO "turns" VALUES(3,0,'Tell me ''all''','All.','[3]','','5',1,'stop','{"prompt_tokens": 21, "cached_tokens": 4, "completion_tokens": 6, "rounds": 3, "decoded": 5, "drafted": 6, "accepted": 2, "copied": 1, "accepted_histogram": [1, 2], "threads": {"2": 3}, "prefill_seconds": 0.25, "ttft_seconds": 0.3, "decode_seconds": 0.125, "draft_seconds": 0.02, "verify_seconds": 0.1, "sampling_seconds": 0.001, "plain_seconds": 0.2, "plain_deviation": 0.01, "compared_seconds": 0.125, "speedup_basis": "measured", "context_used": 27, "context_size": 8192}');
INSERT INTO "turns" VALUES(3,1,'More',NULL,NULL,'Hm','7',1,NULL,NULL);
INSERT INTO "turns" VALUES(4,0,'No answer',NULL,NULL,'',NULL,0,NULL,NULL);
INSERT INTO "turns" VALUES(5,0,'Only a thought',NULL,NULL,'hm','8',0,'length',NULL);
CREATE VIEW whole AS SELECT conversation, number, user, coalesce(reply || more, reply, more) reply,
    CASE WHEN mused IS NULL THEN tokens END tokens, thought || coalesce(mused, '') thought,
    seed, exact, reason, stats
  FROM (SELECT *,
    (SELECT group_concat(reply, '') FROM (SELECT reply FROM pieces p
        WHERE p.conversation = t.conversation AND p.number = t.number ORDER BY place)) more,
    (SELECT group_concat(thought, '') FROM (SELECT thought FROM pieces p
        WHERE p.conversation = t.conversation AND p.number = t.number ORDER BY place)) mused
  FROM turns t);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('conversations',7);
COMMIT;
