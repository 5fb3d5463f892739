/*
 * Tidy: random streams of pieces in any order, whose events must give back every text and every
 * call whole, one part behind the other; and each of its rules by itself. Built with -DTIDY_NO_HOLD
 * test_random fails: it sees what would be lost.
 */
#include "dialect/tidy.h"

#include <stdio.h>
#include <string.h>

#include "random.h"
#include "unit.h"

enum { SEEDS = 2000, CALLS = 3, TEXT_MOST = 1 << 14, EVENTS_MOST = 1024 };

/*
 * A session: pieces in, and what the events say
 */

struct text {
	char p[TEXT_MOST];
	size_t len;
};

struct said {
	struct text args;
	char id[64], name[64];
};

struct session {
	struct arena arena, scratch;
	struct chat chat;
	struct tidy *tidy;
	struct text text, reasoning;
	struct said calls[CALLS + 1];
	size_t n;
	enum chat_event_type open; /* EVENT_START: nothing is */
	bool failed;
	char order[EVENTS_MOST]; /* t, r, f: text, reasoning, refusal; c, a: call, arguments */
	size_t events;
};

static void
begin(struct session *s)
{
	memset(s, 0, sizeof *s);
	arena_init(&s->arena, 0);
	arena_init(&s->scratch, 0);
	s->chat = (struct chat){ .arena = &s->arena,
		.scratch = &s->scratch,
		.endpoint = &endpoints[ENDPOINT_MESSAGES],
		.seed = 1 };
	s->open = EVENT_START;
	s->tidy = tidy_new(&s->chat);
}

static void
finish(struct session *s)
{
	arena_free(&s->arena);
	arena_free(&s->scratch);
	ck_assert_uint_eq(mem_used(), 0);
}

static void
append(struct text *t, struct str s)
{
	ck_assert_uint_lt(t->len + s.len, sizeof t->p);
	if (s.len > 0)
		memcpy(t->p + t->len, s.p, s.len);
	t->len += s.len;
}

static void
take_call(struct session *s, const struct chat_event *ev)
{
	struct said *call = &s->calls[s->n++];

	ck_assert_uint_le(s->n, CALLS + 1);
	ck_assert_uint_gt(ev->id.len, 0);
	snprintf(call->id, sizeof call->id, "%.*s", STR_ARG(ev->id));
	snprintf(call->name, sizeof call->name, "%.*s", STR_ARG(ev->name));
}

static void
take(struct session *s, const struct chat_events *events)
{
	static const char letters[] = { [EVENT_TEXT] = 't',
		[EVENT_REASONING] = 'r',
		[EVENT_REFUSAL] = 'f',
		[EVENT_CALL] = 'c',
		[EVENT_ARGUMENTS] = 'a' };

	s->failed |= events->failed;
	for (size_t i = 0; i < events->n && !s->failed; i++) {
		const struct chat_event *ev = &events->all[i];

		ck_assert_uint_lt(s->events, EVENTS_MOST - 1);
		s->order[s->events++] = letters[ev->type];
		if (ev->type == EVENT_ARGUMENTS) {
			ck_assert_msg(s->open == EVENT_CALL, "arguments outside of a call");
			append(&s->calls[s->n - 1].args, ev->text);
			continue;
		}
		s->open = ev->type;
		if (ev->type == EVENT_CALL)
			take_call(s, ev);
		else
			append(ev->type == EVENT_REASONING ? &s->reasoning : &s->text, ev->text);
	}
}

static void
say(struct session *s, enum chat_event_type type, const char *text)
{
	struct chat_events events = { 0 };

	arena_rewind(&s->scratch);
	tidy_text(s->tidy, &events, type, str_of(text));
	take(s, &events);
}

static int
give(struct session *s, const struct tidy_piece *piece)
{
	struct chat_events events = { 0 };
	int rc;

	arena_rewind(&s->scratch);
	rc = tidy_call(s->tidy, &events, piece);
	take(s, &events);
	return rc;
}

/* A piece with an index (-1: none). */
static void
call(struct session *s, int index, const char *id, const char *name, const char *args)
{
	struct tidy_piece piece = { .has_index = index >= 0,
		.index = (uint64_t)(index >= 0 ? index : 0),
		.id = str_of(id),
		.name = str_of(name),
		.args = str_of(args) };

	ck_assert_int_eq(give(s, &piece), 0);
}

static void
end(struct session *s)
{
	struct chat_events events = { 0 };

	arena_rewind(&s->scratch);
	tidy_end(s->tidy, &events);
	take(s, &events);
}

static void
expect_call(const struct session *s, size_t i, const char *id, const char *name, const char *args)
{
	ck_assert_uint_lt(i, s->n);
	ck_assert_str_eq(s->calls[i].id, id);
	ck_assert_str_eq(s->calls[i].name, name);
	ck_assert_str_eq(s->calls[i].args.p, args);
}

/*
 * Random streams
 */

enum mode { SEQUENTIAL, INTERLEAVED, INDEX_ZERO, NO_INDEX, MODES };

/* A call as it was meant. The arguments are a list of what cannot be cut: escapes and characters of
 * the outer string. */
struct meant {
	char id[16], name[16];
	const char *units[512];
	size_t n, sent;
	bool begun, named;
};

struct stream {
	enum mode mode;
	struct meant calls[CALLS];
	unsigned n;
	struct text text, reasoning;
	unsigned words;
};

static void
add_units(struct meant *m, const char *const *units, size_t n)
{
	for (size_t i = 0; i < n; i++)
		m->units[m->n++] = units[i];
}

#define UNITS(m, ...)                                      \
	add_units(m, (const char *const[]){ __VA_ARGS__ }, \
		sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void
add_value(struct meant *m, unsigned depth)
{
	unsigned n = below(depth > 0 ? 7 : 4);

	switch (n) {
	case 0: /* a brace, an escaped quote, characters as they are and in both depths of escapes
		 */
		UNITS(m, "\\\"", "}", "\\\\", "\\\"", "\\\\", "\\\\", "\xc3\xa9", "\\ud83d",
			"\\ude00", "\\\\", "u", "0", "0", "e", "9", "\\\\", "u", "d", "8", "3", "d",
			"\\\\", "u", "d", "e", "0", "0", "\\\"");
		break;
	case 1:
		UNITS(m, "-", "1", "2", ".", "5", "e", "+", "7");
		break;
	case 2:
		UNITS(m, "n", "u", "l", "l");
		break;
	case 3:
		UNITS(m, "\\\"", "\\\"");
		break;
	case 4:
		UNITS(m, "[");
		add_value(m, depth - 1);
		UNITS(m, " ", ",", "\\n");
		add_value(m, depth - 1);
		UNITS(m, "]");
		break;
	default:
		UNITS(m, "{", "\\\"", "k", "\\\"", ":");
		add_value(m, depth - 1);
		UNITS(m, "}");
		break;
	}
}

static void
add_args(struct meant *m)
{
	unsigned kind = below(12);

	if (kind == 0)
		return;
	if (kind == 1)
		UNITS(m, " ", "\\n");
	UNITS(m, "{");
	if (kind == 2) { /* the model's mistake, or cut: never whole */
		UNITS(m, "\\\"", "a", "\\\"", ":");
		return;
	}
	if (kind > 4) {
		UNITS(m, "\\\"", "a", "\\\"", ":", " ");
		add_value(m, 3);
		UNITS(m, ",", "\\u0022", "b", "\\\"", ":");
		add_value(m, 2);
	}
	UNITS(m, "}");
}

static void
meant_stream(struct stream *s)
{
	memset(s, 0, sizeof *s);
	s->mode = (enum mode)below(MODES);
	s->n = below(CALLS + 1);
	for (unsigned i = 0; i < s->n; i++) {
		struct meant *m = &s->calls[i];

		snprintf(m->name, sizeof m->name, "tool_%u", i);
		if (s->mode == INDEX_ZERO || s->mode == NO_INDEX || below(4) > 0)
			snprintf(m->id, sizeof m->id, "call_%u", i);
		add_args(m);
	}
}

static bool
is_over(const struct meant *m)
{
	return m->named && m->sent == m->n;
}

/* The next piece of a call: now and then its name only comes later, or its id again. */
static void
send_piece(struct session *to, struct stream *s, unsigned i)
{
	struct meant *m = &s->calls[i];
	struct tidy_piece piece = { .has_index = s->mode != NO_INDEX,
		.index = s->mode == INDEX_ZERO ? 0 : i + (s->n > 1) };
	bool late = s->mode == INTERLEAVED || s->mode == SEQUENTIAL;
	struct text args = { .len = 0 };

	if (!m->begun || below(3) == 0)
		piece.id = str_of(m->id);
	if (!m->named && (!late || m->sent == m->n || below(2) == 0)) {
		piece.name = str_of(m->name);
		m->named = true;
	}
	m->begun = true;
	for (unsigned n = below(4) == 0 ? 0 : below(1 + m->n - m->sent); n > 0; n--)
		append(&args, str_of(m->units[m->sent++]));
	piece.args = (struct str){ args.p, args.len };
	ck_assert_int_eq(give(to, &piece), 0);
}

static void
send_words(struct session *to, struct stream *s)
{
	enum chat_event_type type = below(2) ? EVENT_TEXT : EVENT_REASONING;
	char word[32];

	snprintf(word, sizeof word, "%u ", s->words++);
	if (below(6) == 0)
		word[0] = '\0';
	append(type == EVENT_TEXT ? &s->text : &s->reasoning, str_of(word));
	say(to, type, word);
}

/* The call that the next piece is of, or s->n. */
static unsigned
next_call(const struct stream *s)
{
	unsigned first = 0, n = 0;

	while (first < s->n && is_over(&s->calls[first]))
		first++;
	if (s->mode != INTERLEAVED)
		return first;
	for (unsigned i = first; i < s->n; i++)
		n += !is_over(&s->calls[i]);
	for (unsigned i = first, at = n > 0 ? below(n) : 0; i < s->n; i++)
		if (!is_over(&s->calls[i]) && at-- == 0)
			return i;
	return s->n;
}

static void
check_text(const struct text *got, const struct text *want, const char *what, unsigned seed)
{
	ck_assert_msg(got->len == want->len && memcmp(got->p, want->p, want->len) == 0,
		"seed %u: %s is '%s', not '%s'", seed, what, got->p, want->p);
}

static void
check_calls(const struct session *got, const struct stream *want, unsigned seed)
{
	ck_assert_msg(got->n == want->n, "seed %u: %zu calls, not %u", seed, got->n, want->n);
	for (size_t i = 0; i < got->n; i++) {
		const struct said *call = &got->calls[i];
		const struct meant *m = &want->calls[(unsigned)(call->name[5] - '0')];
		struct text args = { .len = 0 };

		ck_assert_str_eq(call->name, m->name);
		if (m->id[0])
			ck_assert_str_eq(call->id, m->id);
		else
			ck_assert_uint_eq(strlen(call->id), 6 + CHAT_ID_LEN);
		for (size_t u = 0; u < m->n; u++)
			append(&args, str_of(m->units[u]));
		check_text(&call->args, &args, call->name, seed);
	}
}

START_TEST(test_random)
{
	static struct session got;
	static struct stream want;

	for (unsigned seed = 1; seed <= SEEDS; seed++) {
		random_seed = seed;
		meant_stream(&want);
		begin(&got);
		for (unsigned i = next_call(&want); i < want.n; i = next_call(&want)) {
			while (below(3) == 0)
				send_words(&got, &want);
			send_piece(&got, &want, i);
		}
		for (unsigned n = below(3); n > 0; n--)
			send_words(&got, &want);
		end(&got);
		ck_assert(!got.failed);
		ck_assert_int_eq(tidy_called(got.tidy), want.n > 0);
		check_text(&got.text, &want.text, "text", seed);
		check_text(&got.reasoning, &want.reasoning, "reasoning", seed);
		check_calls(&got, &want, seed);
		finish(&got);
	}
}
END_TEST

/*
 * Rules
 */

/* Text closes a call at once when its arguments are whole, and waits when they are not. */
START_TEST(test_hold)
{
	static struct session s;

	begin(&s);
	say(&s, EVENT_REASONING, "r");
	call(&s, 0, "call_1", "a", "{");
	say(&s, EVENT_TEXT, "x");
	say(&s, EVENT_REASONING, "y");
	ck_assert_str_eq(s.order, "rca");
	call(&s, 0, "", "", "}");
	ck_assert_str_eq(s.order, "rcaa");
	say(&s, EVENT_REFUSAL, "z");
	ck_assert_str_eq(s.order, "rcaatrf");
	expect_call(&s, 0, "call_1", "a", "{}");
	call(&s, 0, "", "", " ");
	ck_assert_str_eq(s.order, "rcaatrf");
	end(&s);
	ck_assert_str_eq(s.order, "rcaatrf");
	finish(&s);
}
END_TEST

/* What was held stands before the call that closes the open one. */
START_TEST(test_hold_before_call)
{
	static struct session s;

	begin(&s);
	call(&s, 0, "call_1", "a", "{");
	say(&s, EVENT_TEXT, "x");
	call(&s, 1, "call_2", "b", "{}");
	call(&s, 0, "", "", "}");
	call(&s, 1, "", "", "\\n");
	ck_assert_str_eq(s.order, "caatcaa");
	end(&s);
	expect_call(&s, 0, "call_1", "a", "{}");
	expect_call(&s, 1, "call_2", "b", "{}\\n");
	finish(&s);
}
END_TEST

/* Calls without arguments are whole only when that is said. */
START_TEST(test_no_arguments)
{
	static struct session s;
	struct tidy_piece ends = { .has_index = true, .end = true };

	begin(&s);
	call(&s, 0, "call_1", "a", "");
	call(&s, 1, "call_2", "b", "");
	ck_assert_str_eq(s.order, "c");
	end(&s);
	ck_assert_str_eq(s.order, "cc");
	finish(&s);
	begin(&s);
	call(&s, 0, "call_1", "a", "");
	give(&s, &ends);
	call(&s, 1, "call_2", "b", "");
	ck_assert_str_eq(s.order, "cc");
	finish(&s);
}
END_TEST

/* A name may come late; arguments wait for it. Without one there is no call. */
START_TEST(test_late_name)
{
	static struct session s;

	begin(&s);
	call(&s, 3, "", "", "{\\\"a\\\"");
	call(&s, 5, "call_2", "", "{}");
	ck_assert_str_eq(s.order, "");
	call(&s, 3, "call_1", "a", ":1}");
	ck_assert_str_eq(s.order, "caa");
	expect_call(&s, 0, "call_1", "a", "{\\\"a\\\":1}");
	end(&s);
	ck_assert_uint_eq(s.n, 1);
	ck_assert(tidy_called(s.tidy));
	finish(&s);
	begin(&s);
	call(&s, 0, "call_1", "", "{}");
	end(&s);
	ck_assert(!tidy_called(s.tidy));
	finish(&s);
}
END_TEST

/* A first name stands, and is not repeated; so does the id. */
START_TEST(test_repeated_names)
{
	static struct session s;

	begin(&s);
	call(&s, 0, "call_1", "a", "{");
	call(&s, 0, "call_1", "a", "");
	call(&s, 0, "call_9", "", "\\\"x\\\":");
	call(&s, 0, "", "a", "1}");
	end(&s);
	ck_assert_uint_eq(s.n, 1);
	expect_call(&s, 0, "call_1", "a", "{\\\"x\\\":1}");
	finish(&s);
}
END_TEST

/* One index for all calls, with other ids; and without ids, other names or whole arguments. */
START_TEST(test_reused_index)
{
	static struct session s;

	begin(&s);
	call(&s, 0, "call_1", "a", "{}");
	call(&s, 0, "call_2", "a", "{\\\"b\\\":");
	call(&s, 0, "", "", "2}");
	end(&s);
	expect_call(&s, 0, "call_1", "a", "{}");
	expect_call(&s, 1, "call_2", "a", "{\\\"b\\\":2}");
	finish(&s);
	for (int index = -1; index <= 0; index++) {
		begin(&s);
		call(&s, index, "", "a", "{}");
		call(&s, index, "", "a", "{\\\"b\\\":2}");
		call(&s, index, "", "b", "");
		end(&s);
		ck_assert_uint_eq(s.n, 3);
		ck_assert_str_eq(s.calls[1].args.p, "{\\\"b\\\":2}");
		ck_assert_str_eq(s.calls[2].name, "b");
		finish(&s);
	}
}
END_TEST

/* Ids that no client could send back are replaced; missing ones are made up. */
START_TEST(test_ids)
{
	static struct session s;

	begin(&s);
	call(&s, -1, "functions.a:0", "a", "{}");
	call(&s, -1, "functions.a:0", "", "");
	call(&s, 7, "", "b", "{}");
	end(&s);
	ck_assert_uint_eq(s.n, 2);
	ck_assert_uint_eq(strncmp(s.calls[0].id, "functions_a_0_", 14), 0);
	ck_assert_uint_eq(strncmp(s.calls[1].id, "toolu_", 6), 0);
	finish(&s);
}
END_TEST

/* Arguments that are no object, or go on behind it, are never whole: nothing of them is lost. */
START_TEST(test_no_object)
{
	static const char *const args[] = { "[1]", "null", "{} {", "{\\\"a\\\":01}", "\\\"x\\\"" };
	static struct session s;

	for (size_t i = 0; i < sizeof args / sizeof args[0]; i++) {
		begin(&s);
		call(&s, 0, "call_1", "a", args[i]);
		say(&s, EVENT_TEXT, "t");
		call(&s, 0, "", "", "]");
		end(&s);
		ck_assert_str_eq(s.order, "caat");
		finish(&s);
	}
}
END_TEST

/* A provider cannot make us look through ever more calls. */
START_TEST(test_too_many)
{
	static struct session s;
	struct tidy_piece piece = { .has_index = true };

	begin(&s);
	while (piece.index < 1024 && give(&s, &piece) == 0)
		piece.index++;
	ck_assert_uint_eq(piece.index, 1024);
	ck_assert_int_eq(give(&s, &piece), -1);
	piece.index = 5;
	ck_assert_int_eq(give(&s, &piece), 0);
	finish(&s);
}
END_TEST

/* Every allocation fails once. */
START_TEST(test_no_memory)
{
	static struct session s;
	static char big[8192];

	memset(big, 'x', sizeof big - 1);
	for (size_t n = 1;; n++) {
		begin(&s);
		finish(&s);
		mem_fail_after(n);
		begin(&s);
		if (s.tidy) {
			call(&s, 0, "call_1", "a", "{\\\"");
			call(&s, 1, "call_2", "b", big);
			call(&s, 1, "", "", big);
			say(&s, EVENT_TEXT, big);
			end(&s);
		}
		mem_fail_after(0);
		bool whole = s.tidy && !s.failed;
		if (whole)
			expect_call(&s, 0, "call_1", "a", "{\\\"");
		finish(&s);
		if (whole)
			break;
		ck_assert_uint_lt(n, 100);
	}
}
END_TEST

UNIT_MAIN("dialect/tidy", test_random, test_hold, test_hold_before_call, test_no_arguments,
	test_late_name, test_repeated_names, test_reused_index, test_ids, test_no_object,
	test_too_many, test_no_memory)
