/*
 * session: an attempt to be translated for one of OpenAI's clients, for tests of what it says and
 * gets.
 */
#ifndef SESSION_H
#define SESSION_H

#include "dialect/chat_reply.h"
#include "dialect/completions.h"
#include "dialect/openai_client.h"

struct session {
	struct chat chat;
	struct chat_options options;
	struct arena arena, scratch;
};

static inline void
session_open(struct session *s, enum endpoint_id endpoint)
{
	*s = (struct session){ 0 };
	arena_init(&s->arena, 0);
	arena_init(&s->scratch, 0);
	s->chat = (struct chat){ .arena = &s->arena,
		.scratch = &s->scratch,
		.endpoint = &endpoints[endpoint],
		.provider = DIALECT_ANTHROPIC,
		.options = &s->options,
		.model = STR("m"),
		.created_s = 1790000000,
		.seed = 1 };
}

static inline void
session_close(struct session *s)
{
	arena_free(&s->arena);
	arena_free(&s->scratch);
}

static inline const struct chat_client *
client(const struct session *s)
{
	return s->chat.endpoint->id == ENDPOINT_CHAT ? &openai_client : &completions_client;
}

#endif
