/*
 * gemini_private: what the files of the Gemini adapter share. Nothing but them uses it.
 */
#ifndef DIALECT_GEMINI_PRIVATE_H
#define DIALECT_GEMINI_PRIVATE_H

#include "dialect/chat_adapt.h"
#include "dialect/gemini_name.h"

/*
 * The conversation
 */

enum gemini_turn { TURN_NONE, TURN_USER, TURN_MODEL, TURN_RESULTS };

/* Contents while they are written. */
struct gemini_contents {
	struct chat *c;
	struct chat_request *q;
	struct json_writer *w;
	struct chat_calls calls;
	enum gemini_turn turn; /* that is open */
	bool called;           /* the model's turn that is open has a call */
	size_t calls_seen;     /* so far */
	size_t turn_calls;     /* those before the model's last turn */
	unsigned generation;
};

/* Be in that turn: close another, open this one. gemini_parts.c */
void gemini_turn_open(struct gemini_contents *x, enum gemini_turn turn);
void gemini_turn_close(struct gemini_contents *x);
/* One part, in the turn that is open. */
void gemini_write_text(struct gemini_contents *x, struct str text);
/* An image, a sound, a file? Then as a part of that message's. 0 or -1 (c->error). */
bool gemini_is_source(const struct chat_part *p);
int gemini_write_source(struct gemini_contents *x, const struct chat_message *m,
	const struct chat_part *p);
/* The round of results that begins with `m`. *after: the message behind it. 0 or -1
 * (c->error). gemini_results.c */
int gemini_write_results(struct gemini_contents *x, const struct chat_message *m,
	const struct chat_message **after);

/*
 * The request
 */

/* Members `systemInstruction` and `contents`. 0 or -1 (c->error). gemini_contents.c */
int gemini_write_contents(struct chat *c, struct chat_request *q, struct json_writer *w);
/*
 * Member `generationConfig`, where there is anything to say. `thinking`: the client's own raw
 * thinkingConfig; empty: none. 0 or -1 (c->error). gemini_config.c
 */
int gemini_write_config(struct chat *c, struct chat_request *q, struct str thinking,
	struct json_writer *w);
/* The whole body, and c->path. 0 or -1 (c->error). gemini_request.c */
int gemini_write_request(struct chat *c, struct chat_request *q, struct buf *out);

/*
 * What stands beside the text of a candidate: gemini_aside.c
 */

/* EVENT_LOGPROBS of logprobsResult. */
void gemini_read_logprobs(struct chat *c, const struct json_doc *d,
	const struct json_token *candidate, unsigned choice, struct chat_events *out);
/* EVENT_CITATION of groundingMetadata and citationMetadata. */
void gemini_read_citations(struct chat *c, const struct json_doc *d,
	const struct json_token *candidate, unsigned choice, struct chat_events *out);
/* EVENT_USAGE of usageMetadata, where the reply has it. */
void gemini_read_usage(struct chat *c, const struct json_doc *d, const struct json_token *reply,
	struct chat_events *out);

#endif
