/*
 * fault: a provider's error, of whatever dialect, reduced to a kind and a message.
 */
#ifndef DIALECT_FAULT_H
#define DIALECT_FAULT_H

#include "dialect/chat.h"

/* What is read of a body, and what becomes of its message. */
enum { FAULT_BODY_MOST = 64 << 10, FAULT_TEXT_MOST = 4096 };

struct fault {
	/* status is 0: the kind's own. Code: the provider's, of INVALID and NOT_FOUND alone, since
	   other kinds have one of their own */
	struct error error;
	bool auth;        /* the provider refused the credential: 401, 403 that says so, 498,
			     Gemini's API_KEY_INVALID */
	int64_t retry_ms; /* that the body asks to wait (Gemini's RetryInfo); -1: not said */
};

/*
 * Read the body of a reply with that status, or an event of a stream, which has status 200. Shapes:
 * {"error":{…}}, the same in a list (Gemini), {"error":"…"} (Ollama), {"message":"…"} (Cohere),
 * {"detail":…} (FastAPI), {"errors":[{"message":"…"}]}, plain text. Text is copied into the arena.
 * Never fails: without memory, too, there is a kind and a message.
 */
void fault_read(struct arena *a, unsigned status, struct str body, struct fault *out);
/* EVENT_ERROR of such a body that came with status 200. */
void fault_emit(struct chat *c, struct str body, struct chat_events *out);
/*
 * The kind of an error that has no status: by its code (OpenAI's words, an HTTP status in digits,
 * Gemini's names of statuses) or else by its type (OpenAI's, Anthropic's). Plain texts. UPSTREAM
 * when nothing is known of them.
 */
enum error_kind fault_kind(struct str type, struct str code);
/*
 * A provider's text as a client may see it: what looks like a key, or like the name of an account,
 * is ***; at most FAULT_TEXT_MOST bytes, whole characters. In the arena; p NULL when that failed.
 */
struct str fault_text(struct arena *a, struct str plain);

#endif
