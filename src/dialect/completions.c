/*
 * completions: OpenAI's legacy completions as a client speaks them (OpenAI API reference: create
 * completion), at providers that have chat alone: the prompt becomes one user message, and the text
 * of the answer is the completion.
 *
 * Called by translate. Refused is what a chat cannot do and the client would miss: several prompts,
 * prompts of tokens, a suffix (which Ollama can), the best of several. Reasoning, calls and log
 * probabilities of the answer are left out, since the protocol has no place for them. Fails on
 * refusals, and for want of memory (c->arena, or the buffer, where it is sticky).
 */
#include "dialect/completions.h"

#include "dialect/openai_client_chunk.h"
#include "dialect/openai_client_params.h"

enum { MAX_TOKENS = 16 }; /* where the client gave none; so at OpenAI */

/*
 * The request
 */

static int
read_prompt(struct chat *c, struct chat_request *q)
{
	struct str name = STR("prompt");
	const struct json_token *t = json_get(&q->doc, json_doc_top(&q->doc), name);
	struct chat_message *m;
	struct chat_part *p;

	if (!t)
		return chat_refuse(c, name, "`prompt` is missing");
	if (t->type == JSON_ARRAY && t->count == 1)
		t = json_first(&q->doc, t);
	if (t->type != JSON_STRING)
		return chat_refuse(c, name,
			"`prompt` must be one string: this model's provider takes neither several "
			"prompts nor tokens");
	m = chat_add_message(c, q, CHAT_USER, 0);
	p = m ? chat_add_part(c, m, PART_TEXT, 0) : NULL;
	if (!p)
		return chat_no_memory(c);
	m->bare = true;
	p->text = q->prompt = json_doc_inner(&q->doc, t);
	chat_note(q, name);
	return 0;
}

static int
read_echo(struct chat *c, struct chat_request *q)
{
	struct str name = STR("echo");

	if (param_bool(c, q, name, &c->echo) < 0)
		return -1;
	chat_note(q, name);
	if (!c->echo)
		return 0;
	c->prompt = arena_copy(c->arena, q->prompt);
	return c->prompt.p ? 0 : chat_no_memory(c);
}

static int
read_suffix(struct chat *c, struct chat_request *q)
{
	struct str name = STR("suffix");
	const struct json_token *t = json_get(&q->doc, json_doc_top(&q->doc), name);

	if (!t)
		return 0;
	if (t->type != JSON_STRING)
		return chat_refuse(c, name, "`suffix` must be a string");
	q->suffix = json_doc_inner(&q->doc, t);
	if (q->suffix.len == 0)
		chat_note(q, name);
	else if (c->provider != DIALECT_OLLAMA)
		return chat_refuse(c, name, "this model's provider takes no `suffix`");
	return 0;
}

static int
read_best_of(struct chat *c, struct chat_request *q)
{
	struct str name = STR("best_of");
	const struct json_token *t = json_get(&q->doc, json_doc_top(&q->doc), name);
	uint64_t n;

	if (!t)
		return 0;
	if (t->type != JSON_NUMBER || json_u64(q->doc.text, t, &n) < 0 || n == 0)
		return chat_refuse(c, name, "`best_of` must be a whole number of at least 1");
	if (n > 1)
		return chat_refuse(c, name, "this model's provider takes no `best_of` above 1");
	chat_note(q, name);
	return 0;
}

static int
read_request(struct chat *c, struct chat_request *q, struct str body)
{
	if (chat_read_params(c, q, body) < 0 || params_read(c, q) < 0 || read_prompt(c, q) < 0 ||
		read_echo(c, q) < 0 || read_suffix(c, q) < 0 || read_best_of(c, q) < 0)
		return -1;
	q->completion = true;
	if (q->max_tokens == 0)
		q->max_tokens = MAX_TOKENS;
	return 0;
}

/*
 * The answer
 */

struct writer {
	struct chunk_form form;
	struct chunk_choice *choices, *at; /* at: the one that was written last */
	struct chat_usage usage;
};

static void *
open_writer(struct chat *c)
{
	struct writer *w = arena_zero(c->arena, sizeof *w);

	if (w)
		w->usage = CHAT_USAGE_NONE;
	return w;
}

static void
tell_text(struct writer *w, const struct chat_event *ev, struct buf *out)
{
	if (ev->text.len == 0)
		return;
	chunk_open(&w->form, w->at->index, out);
	buf_add(out, STR(",\"text\":\""));
	chunk_text(ev, out);
	buf_add(out, STR("\""));
	chunk_close(&w->form, STR(""), STR(""), STR(""), out);
}

static void
finish(struct writer *w, enum chat_stop stop, struct buf *out)
{
	w->at->stopped = true;
	chunk_open(&w->form, w->at->index, out);
	buf_add(out, STR(",\"text\":\"\""));
	chunk_close(&w->form, STR(""), finish_word(stop, false, false), STR(""), out);
}

/* Make the choice the one that is written; a new one begins with the prompt, where it is wanted. 0
 * or -1. */
static int
choose(struct chat *c, struct writer *w, unsigned index, struct buf *out)
{
	struct chat_event echo = { .text = c->prompt };
	struct chunk_choice *h;
	bool fresh;

	if (w->at && w->at->index == index)
		return 0;
	h = chunk_choose(c->arena, &w->choices, index, sizeof *h, &fresh);
	if (!h)
		return -1;
	w->at = h;
	if (fresh && c->echo)
		tell_text(w, &echo, out);
	return 0;
}

static int
start(struct chat *c, struct writer *w, const struct chat_event *ev, struct buf *out)
{
	struct chunk_names names = { .id = STR_INIT("") };

	if (w->form.head.p)
		return 0;
	if (ev->type == EVENT_START)
		names = (struct chunk_names){ ev->id, ev->model, ev->created_s };
	names.id = chat_make_id(c, c->arena, STR("cmpl-"));
	return chunk_compose(c, &w->form, STR("text_completion"), &names, out);
}

static void
write_event(struct chat *c, void *state, const struct chat_event *ev, struct buf *out)
{
	struct writer *w = state;

	if (ev->type == EVENT_USAGE) {
		w->usage = ev->usage;
		w->usage.tier = STR(""); /* the protocol has none */
		return;
	}
	if (start(c, w, ev, out) < 0)
		return;
	if (ev->type == EVENT_DONE) {
		if (c->include_usage)
			chunk_usage(&w->form, &w->usage, out);
		chunk_done(out);
		return;
	}
	if (choose(c, w, ev->choice, out) < 0 || w->at->stopped)
		return;
	if (ev->type == EVENT_TEXT)
		tell_text(w, ev, out);
	else if (ev->type == EVENT_STOP)
		finish(w, ev->stop, out);
}

static void
write_choice(struct chat *c, struct json_writer *w, const struct chat_reply_choice *h)
{
	json_object(w);
	json_key(w, STR("index"));
	json_number(w, h->index);
	json_key(w, STR("text"));
	json_text_open(w);
	if (c->echo)
		json_text_more_escaped(w, c->prompt);
	reply_text(w, h, EVENT_TEXT);
	json_text_close(w);
	json_key(w, STR("logprobs"));
	json_null(w);
	json_pair(w, STR("finish_reason"), finish_word(h->stop, false, false));
	json_object_end(w);
}

static void
write_reply(struct chat *c, const struct chat_reply *reply, struct buf *out)
{
	struct str id = chat_make_id(c, c->arena, STR("cmpl-"));
	struct json_writer w;

	if (!id.p)
		return;
	json_writer_init(&w, out);
	reply_open(c, reply, &w, STR("text_completion"), id);
	for (const struct chat_reply_choice *h = reply->choices; h; h = h->next)
		write_choice(c, &w, h);
	reply_close(reply, &w, STR(""));
}

const struct chat_client completions_client = {
	.read_request = read_request,
	.open = open_writer,
	.write_event = write_event,
	.write_reply = write_reply,
};
