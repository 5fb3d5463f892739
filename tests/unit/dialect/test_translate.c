/*
 * Translate: the pairs of tests/golden/translate, as their README says: requests, replies and
 * streams of each client protocol at each provider, streams cut at every byte.
 */
#include "dialect/translate.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "golden.h"
#include "valid_anthropic.h"
#include "valid_openai.h"

enum { CASE_MOST = 1 << 20, SECTIONS_MOST = 24, STRIP_MOST = 8 };

struct section {
	struct str name, text;
};

struct golden_case {
	const char *path;
	char *text;
	struct section sections[SECTIONS_MOST];
	size_t n;
	struct chat chat;
	struct chat_options options;
	struct str strip[STRIP_MOST];
	struct arena arena, scratch;
	size_t most, scratch_most; /* that they may hold; 0: no limit */
	size_t fails;              /* which allocation fails; 0: none */
};

static struct str
section(const struct golden_case *g, const char *name)
{
	for (size_t i = 0; i < g->n; i++)
		if (str_eq(g->sections[i].name, str_of(name)))
			return g->sections[i].text;
	return (struct str){ NULL, 0 };
}

static struct str
line_of(struct str *rest)
{
	size_t at = str_index(*rest, '\n');
	struct str line = str_head(*rest, at);

	*rest = str_skip(*rest, at + 1);
	return line;
}

static void
read_sections(struct golden_case *g, struct str text)
{
	struct section *s = NULL;

	while (text.len > 0) {
		const char *at = text.p;
		struct str line = line_of(&text);

		if (!str_starts(line, STR("=== "))) {
			if (s)
				s->text.len = (size_t)(text.p - s->text.p);
			continue;
		}
		if (s)
			s->text.len = (size_t)(at - s->text.p);
		ck_assert_uint_lt(g->n, SECTIONS_MOST);
		s = &g->sections[g->n++];
		*s = (struct section){ str_skip(line, 4), { text.p, 0 } };
	}
}

/* One value of an option as what it sets. */
static void
set_option(struct golden_case *g, struct str name, struct str value)
{
	struct chat_options *o = &g->options;
	uint64_t n = 0;
	static const char *const styles[] = { "auto", "effort", "adaptive", "budget", "none" };
	bool off = str_eq(value, STR("false")), on = str_eq(value, STR("true"));
	struct {
		const char *name;
		bool *flag, to;
	} flags[] = { { "developer_role", &o->no_developer_role, off },
		{ "sampling", &o->no_sampling, off }, { "forced_tools", &o->no_forced_tools, off },
		{ "structured_output", &o->no_structured_output, off },
		{ "stream_usage", &o->no_stream_usage, off },
		{ "reasoning_with_tools", &o->no_reasoning_with_tools, off },
		{ "cache_breakpoints", &o->cache_breakpoints, on },
		{ "stream", &g->chat.stream, on }, { "include_usage", &g->chat.include_usage, on },
		{ "base64", &g->chat.base64, on } };

	str_u64(value, &n);
	for (size_t i = 0; i < COUNT(flags); i++) {
		if (str_eq(name, str_of(flags[i].name))) {
			*flags[i].flag = flags[i].to;
			return;
		}
	}
	if (str_eq(name, STR("max_tokens_cap")))
		o->max_tokens_cap = n;
	else if (str_eq(name, STR("reasoning_field")))
		o->reasoning_field = value;
	else if (str_eq(name, STR("tokens_field")))
		o->completion_tokens = str_eq(value, STR("max_completion_tokens"));
	else if (str_eq(name, STR("max_tokens")))
		g->chat.max_tokens = n;
	else if (str_eq(name, STR("unsupported")))
		g->chat.reject = str_eq(value, STR("reject"));
	else if (str_eq(name, STR("version")))
		g->chat.version = value;
	else if (str_eq(name, STR("model")))
		g->chat.model = value;
	else if (str_eq(name, STR("target")))
		g->chat.target = value;
	else if (str_eq(name, STR("reasoning")))
		for (size_t i = 0; i < COUNT(styles); i++)
			o->reasoning = str_eq(value, str_of(styles[i]))
				? (enum chat_reasoning_style)i
				: o->reasoning;
	else if (str_eq(name, STR("strip")))
		g->strip[o->n_strip++] = value;
	else
		ck_abort_msg("%s: no option %.*s", g->path, STR_ARG(name));
}

static void
set_options(struct golden_case *g)
{
	struct str rest = section(g, "options");

	while (rest.len > 0) {
		struct str line = line_of(&rest), name = str_head(line, str_index(line, ' '));

		set_option(g, name, str_skip(line, name.len + 1));
	}
}

/* Who speaks to whom, by the name of the folder. */
static void
set_sides(struct golden_case *g)
{
	static const struct {
		const char *name;
		enum endpoint_id id;
	} clients[] = { { "chat", ENDPOINT_CHAT }, { "completions", ENDPOINT_COMPLETIONS },
		{ "messages", ENDPOINT_MESSAGES }, { "embeddings", ENDPOINT_EMBEDDINGS } };
	struct str path = str_of(g->path), folder = path;
	bool known = false;

	folder = str_skip(folder, str_find(folder, STR("translate/")) + 10);
	folder = str_head(folder, str_index(folder, '/'));
	for (size_t i = 0; i < COUNT(clients); i++) {
		if (!str_starts(folder, str_of(clients[i].name)))
			continue;
		g->chat.endpoint = &endpoints[clients[i].id];
		folder = str_skip(folder, strlen(clients[i].name) + 1);
		for (int d = DIALECT_OPENAI; d <= DIALECT_ECHO && !known; d++) {
			g->chat.provider = (enum dialect_id)d;
			known = str_eq(folder, dialect_name((enum dialect_id)d));
		}
	}
	ck_assert_msg(known, "%s: its folder is no CLIENT-PROVIDER", g->path);
}

static void
case_open(struct golden_case *g, const char *path)
{
	FILE *f = fopen(path, "r");

	*g = (struct golden_case){ .path = path, .text = malloc(CASE_MOST) };
	ck_assert_ptr_nonnull(f);
	size_t len = fread(g->text, 1, CASE_MOST, f);
	ck_assert_uint_lt(len, CASE_MOST);
	fclose(f);
	read_sections(g, (struct str){ g->text, len });
	set_sides(g);
}

/* A fresh session, as for a new request. */
static void
session(struct golden_case *g)
{
	arena_init(&g->arena, g->most);
	arena_init(&g->scratch, g->scratch_most);
	g->options = (struct chat_options){ .strip = g->strip };
	g->chat = (struct chat){ .arena = &g->arena,
		.scratch = &g->scratch,
		.endpoint = g->chat.endpoint,
		.provider = g->chat.provider,
		.options = &g->options,
		.version = STR("2023-06-01"),
		.max_tokens = 4096,
		.model = STR("m"),
		.target = STR("up"),
		.created_s = 1790000000,
		.seed = 1 };
	set_options(g);
}

static void
session_end(struct golden_case *g)
{
	arena_free(&g->arena);
	arena_free(&g->scratch);
}

static void
same_json(struct str got, struct str want, const char *name)
{
	struct buf a = compact(got), b = compact(want);

	assert_same(buf_str(&a), buf_str(&b), name);
	buf_free(&a);
	buf_free(&b);
}

static void
same_line(struct str got, struct str want, const char *name)
{
	assert_same(got, str_head(want, str_index(want, '\n')), name);
}

/* Translate the request, where the case has one: what follows needs what it found out. */
static void
run_request(struct golden_case *g, bool check)
{
	struct str request = section(g, "request"), refused = section(g, "refused");
	struct buf out = BUF_EMPTY;
	char said[1024];

	if (!request.p)
		return;
	int rc = translate_request(&g->chat, request, &out);
	if (refused.p) {
		ck_assert_msg(rc < 0, "%s: was not refused: %.*s", g->path, STR_ARG(buf_str(&out)));
		snprintf(said, sizeof said, "%.*s: %.*s", STR_ARG(g->chat.error.param),
			STR_ARG(g->chat.error.message));
		same_line(str_of(said), refused, g->path);
	} else {
		ck_assert_msg(rc == 0, "%s: refused: %.*s: %.*s", g->path,
			STR_ARG(g->chat.error.param), STR_ARG(g->chat.error.message));
	}
	if (check && rc == 0) {
		struct json_scan scan;

		ck_assert_msg(json_scan_text(&scan, NULL, buf_str(&out), 0, 1000) == 0,
			"%s: no JSON: %.*s", g->path, STR_ARG(buf_str(&out)));
		if (section(g, "sent").p)
			same_json(buf_str(&out), section(g, "sent"), g->path);
		if (section(g, "path").p)
			same_line(g->chat.path, section(g, "path"), g->path);
		same_line(g->chat.dropped,
			section(g, "dropped").p ? section(g, "dropped") : STR(""), g->path);
	}
	buf_free(&out);
}

static void
check_verdict(struct golden_case *g, const struct translate *t, enum translate_verdict verdict)
{
	static const char *const kinds[ERROR_KINDS] = {
#define ERROR_KIND(name, ...) [ERROR_##name] = #name,
#include "dialect/error_kind.def"
#undef ERROR_KIND
	};
	struct str failed = section(g, "failed");
	char said[1024] = "";

	if (verdict == TRANSLATE_ERROR)
		snprintf(said, sizeof said, "%s: %.*s", kinds[t->error.kind],
			STR_ARG(t->error.message));
	else if (verdict != TRANSLATE_OK)
		snprintf(said, sizeof said, "%s",
			verdict == TRANSLATE_UNREADABLE ? "unreadable" : "memory");
	same_line(str_of(said), failed.p ? failed : STR(""), g->path);
}

/* The next line of NDJSON that is whole, as an event. */
static long
next_line(struct buf *carry, struct str in, struct sse_event *ev, bool *got)
{
	size_t at = str_index(in, '\n');

	*got = at < in.len;
	if (!*got) {
		buf_add(carry, in);
		return (long)in.len;
	}
	buf_add(carry, str_head(in, at));
	*ev = (struct sse_event){ .data = buf_str(carry), .has_data = buf_len(carry) > 0 };
	return (long)at + 1;
}

/* What the SDKs of the client's dialect need, whatever the case says. */
static void
check_answer(const struct golden_case *g, struct str answer, bool stream, bool whole)
{
	enum endpoint_id id = g->chat.endpoint->id;
	bool chat = id == ENDPOINT_CHAT;

	if (id == ENDPOINT_MESSAGES && stream)
		valid_anthropic_stream(g->path, answer, whole);
	else if (id == ENDPOINT_MESSAGES && whole)
		valid_anthropic_reply(g->path, answer);
	else if ((chat || id == ENDPOINT_COMPLETIONS) && stream)
		valid_openai_stream(g->path, answer, chat, whole);
	else if ((chat || id == ENDPOINT_COMPLETIONS) && whole)
		valid_openai_reply(g->path, answer, chat);
}

struct feed {
	struct translate *t;
	struct sse sse;
	struct buf carry, *out;
};

static enum translate_verdict
feed(struct feed *f, struct str in)
{
	enum translate_verdict verdict = TRANSLATE_OK;

	while (in.len > 0 && verdict <= TRANSLATE_DONE) {
		struct sse_event ev;
		bool got = false;
		bool lines = translate_by_lines(f->t);
		long n = lines ? next_line(&f->carry, in, &ev, &got)
			       : sse_next(&f->sse, in, &ev, &got);

		if (n < 0 || f->carry.failed)
			return TRANSLATE_MEMORY;
		ck_assert_int_gt(n, 0);
		in = str_skip(in, (size_t)n);
		if (!got)
			continue;
		verdict = translate_event(f->t, &ev, f->out);
		if (lines)
			buf_free(&f->carry);
	}
	return verdict;
}

/* The stream, cut at `cut` (0: whole; SIZE_MAX: byte by byte). */
static void
run_stream(struct golden_case *g, size_t cut, bool whole, struct str want)
{
	struct str text = section(g, "stream");
	struct buf out = BUF_EMPTY;
	struct translate t;
	struct feed f = { .t = &t, .out = &out };
	enum translate_verdict verdict = TRANSLATE_OK;

	session(g);
	run_request(g, false);
	g->chat.stream = !whole;
	ck_assert_int_eq(translate_open(&t, &g->chat), 0);
	sse_init(&f.sse, 1 << 20);
	for (size_t at = 0; at < text.len && verdict <= TRANSLATE_DONE;) {
		size_t to = cut == SIZE_MAX ? at + 1 : at < cut ? cut : text.len;

		verdict = feed(&f, str_head(str_skip(text, at), to - at));
		at = to;
	}
	if (verdict <= TRANSLATE_DONE)
		verdict = translate_end(&t, &out);
	check_verdict(g, &t, verdict);
	if (whole)
		same_json(buf_str(&out), want, g->path);
	else
		assert_same(buf_str(&out), want, g->path);
	if (cut == 0)
		check_answer(g, buf_str(&out), !whole, verdict <= TRANSLATE_DONE);
	sse_free(&f.sse);
	buf_free(&f.carry);
	buf_free(&out);
	session_end(g);
}

static void
run_reply(struct golden_case *g, bool stream, struct str want)
{
	struct buf out = BUF_EMPTY;
	struct translate t;

	session(g);
	run_request(g, false);
	g->chat.stream = stream;
	ck_assert_int_eq(translate_open(&t, &g->chat), 0);
	enum translate_verdict verdict = translate_reply(&t, section(g, "reply"), &out);
	check_verdict(g, &t, verdict);
	if (stream)
		assert_same(buf_str(&out), want, g->path);
	else
		same_json(buf_str(&out), want, g->path);
	check_answer(g, buf_str(&out), stream, verdict <= TRANSLATE_DONE);
	buf_free(&out);
	session_end(g);
}

/* What a case says of the stream and of the whole reply is one message. */
static void
check_same(const struct golden_case *g, struct str stream, struct str reply)
{
	if (g->chat.endpoint->id == ENDPOINT_MESSAGES && stream.p && reply.p &&
		!section(g, "failed").p)
		valid_anthropic_same(g->path, stream, reply);
}

static void
run_case(const char *path)
{
	struct golden_case g;
	struct str stream, want;

	case_open(&g, path);
	session(&g);
	run_request(&g, true);
	session_end(&g);
	if (section(&g, "answer").p || (section(&g, "reply").p && section(&g, "failed").p))
		run_reply(&g, false, section(&g, "answer"));
	if (section(&g, "chunks").p)
		run_reply(&g, true, section(&g, "chunks"));
	stream = section(&g, "stream");
	if (stream.p) {
		want = section(&g, "events");
		for (size_t cut = 0; cut < stream.len && want.p; cut++)
			run_stream(&g, cut, false, want);
		if (want.p)
			run_stream(&g, SIZE_MAX, false, want);
		if (section(&g, "gathered").p)
			run_stream(&g, 0, true, section(&g, "gathered"));
	}
	check_same(&g, section(&g, "chunks"), section(&g, "answer"));
	check_same(&g, section(&g, "events"), section(&g, "gathered"));
	free(g.text);
	ck_assert_msg(mem_used() == 0, "%s: leaves memory behind", path);
}

START_TEST(test_golden)
{
	const char *slash = strrchr(__FILE__, '/'), *only = getenv("GOLDEN");
	char pattern[512];
	glob_t found;

	snprintf(pattern, sizeof pattern, "%.*s/../../golden/translate/*-*/*.txt",
		(int)(slash - __FILE__), __FILE__);
	ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (!only || strstr(found.gl_pathv[i], only))
			run_case(found.gl_pathv[i]);
	globfree(&found);
}
END_TEST

/*
 * Memory that ends anywhere
 */

enum task { TASK_REQUEST, TASK_STREAM, TASK_GATHERED, TASK_CHUNKS, TASK_ANSWER, TASKS };

/* What the case says of that task. */
static struct str
material(const struct golden_case *g, enum task task)
{
	if (task == TASK_REQUEST)
		return section(g, "request");
	return section(g, task == TASK_STREAM || task == TASK_GATHERED ? "stream" : "reply");
}

/* OK, DONE and ERROR, UNREADABLE (also: refused) are answers; the others are lack of memory. */
static enum translate_verdict
do_task(struct golden_case *g, enum task task, struct buf *out)
{
	struct str text = material(g, task);
	struct translate t;
	struct feed f = { .t = &t, .out = out };
	enum translate_verdict verdict;

	if (task == TASK_REQUEST) {
		if (translate_request(&g->chat, text, out) == 0)
			return TRANSLATE_OK;
		out->end = out->start;
		return g->chat.error.kind == ERROR_OVERLOADED   ? TRANSLATE_MEMORY
			: g->chat.error.kind == ERROR_TOO_LARGE ? TRANSLATE_TOO_LARGE
								: TRANSLATE_UNREADABLE;
	}
	g->chat.stream = task == TASK_STREAM || task == TASK_CHUNKS;
	if (translate_open(&t, &g->chat) < 0)
		return TRANSLATE_MEMORY;
	if (task == TASK_CHUNKS || task == TASK_ANSWER)
		return translate_reply(&t, text, out);
	sse_init(&f.sse, 1 << 20);
	verdict = feed(&f, text);
	if (verdict <= TRANSLATE_DONE)
		verdict = translate_end(&t, out);
	sse_free(&f.sse);
	buf_free(&f.carry);
	return verdict;
}

/* With that much of it: true when it sufficed, and then it is the same as with all of it. */
static bool
suffices(struct golden_case *g, enum task task, enum translate_verdict want, struct str text)
{
	struct buf out = BUF_EMPTY;

	session(g);
	mem_fail_after(g->fails);
	enum translate_verdict verdict = do_task(g, task, &out);
	mem_fail_after(0);
	bool short_of = verdict == TRANSLATE_MEMORY || verdict == TRANSLATE_TOO_LARGE;
	if (task == TASK_REQUEST && short_of) /* by its limit: to come again would not help */
		ck_assert_msg((verdict == TRANSLATE_MEMORY) == (g->fails > 0), "%s", g->path);
	if (!short_of) {
		ck_assert_msg(verdict == want, "%s: task %d: %d for %d", g->path, task, verdict,
			want);
		assert_same(buf_str(&out), text, g->path);
	}
	buf_free(&out);
	session_end(g);
	return !short_of;
}

static void
run_task(struct golden_case *g, enum task task)
{
	enum { STEP = 16, MOST = 1 << 20 };
	struct buf out = BUF_EMPTY;

	g->most = g->scratch_most = 0;
	session(g);
	enum translate_verdict want = do_task(g, task, &out);
	session_end(g);
	for (g->most = 32; !suffices(g, task, want, buf_str(&out)); g->most += STEP)
		ck_assert_uint_lt(g->most, MOST);
	g->most = 0;
	for (g->scratch_most = 32; !suffices(g, task, want, buf_str(&out)); g->scratch_most += STEP)
		ck_assert_uint_lt(g->scratch_most, MOST);
	g->scratch_most = 0;
	for (g->fails = 1; !suffices(g, task, want, buf_str(&out)); g->fails++)
		ck_assert_uint_lt(g->fails, MOST);
	g->fails = 0;
	buf_free(&out);
	ck_assert_msg(mem_used() == 0, "%s: leaves memory behind", g->path);
}

START_TEST(test_memory)
{
	const char *slash = strrchr(__FILE__, '/'), *only = getenv("GOLDEN");
	char pattern[512];
	glob_t found;

	snprintf(pattern, sizeof pattern, "%.*s/../../golden/translate/*-*/*.txt",
		(int)(slash - __FILE__), __FILE__);
	ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct golden_case g;

		if (only && !strstr(found.gl_pathv[i], only))
			continue;
		case_open(&g, found.gl_pathv[i]);
		for (int task = TASK_REQUEST; task < TASKS; task++)
			if (material(&g, (enum task)task).p)
				run_task(&g, (enum task)task);
		free(g.text);
	}
	globfree(&found);
}
END_TEST

static void
begin(struct golden_case *g, enum endpoint_id client, enum dialect_id provider)
{
	*g = (struct golden_case){ .path = "" };
	g->chat.endpoint = &endpoints[client];
	g->chat.provider = provider;
	session(g);
	g->chat.stream = true;
}

static enum translate_verdict
one_event(struct translate *t, const char *data, struct buf *out)
{
	struct sse_event ev = { .data = str_of(data), .has_data = true };

	return translate_event(t, &ev, out);
}

/* Once a stream is under way, its texts need no memory but the buffer that they go to. */
START_TEST(test_no_memory_per_event)
{
	static const char event[] =
		"{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},\"finish_reason\":null}]%s}";
	struct golden_case g;
	struct buf out = BUF_EMPTY;
	struct translate t;
	char text[256];

	begin(&g, ENDPOINT_MESSAGES, DIALECT_OPENAI);
	ck_assert_int_eq(translate_open(&t, &g.chat), 0);
	ck_assert_ptr_nonnull(buf_room(&out, 1 << 20));
	for (int i = 0; i < 1000; i++) {
		/* every other one is not like the one before, and is read */
		snprintf(text, sizeof text, event, "abc", i / 2 % 2 ? ",\"x\":1" : "");
		ck_assert_int_eq(one_event(&t, text, &out), TRANSLATE_OK);
		if (i == 10)
			mem_fail_after(1);
	}
	mem_fail_after(0);
	buf_free(&out);
	session_end(&g);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

/* A count that stands in each event is told by the last one, whether it was read or not. */
START_TEST(test_usage_of_the_last)
{
	static const char event[] =
		"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"usageMetadata\":{\"promptTokenCount\":5,\"candidatesTokenCount\":%d}}";
	struct golden_case g;
	struct buf out = BUF_EMPTY;
	struct translate t;
	struct usage usage;
	char text[256];

	begin(&g, ENDPOINT_CHAT, DIALECT_GEMINI);
	ck_assert_int_eq(translate_open(&t, &g.chat), 0);
	for (int i = 1; i < 50; i++) {
		snprintf(text, sizeof text, event, i);
		ck_assert_int_eq(one_event(&t, text, &out), TRANSLATE_OK);
		ck_assert(i < 3 || t.like.pending);
		if (i % 7 == 0) {
			ck_assert(translate_usage(&t, &usage));
			ck_assert_int_eq(usage.output, i);
			ck_assert_int_eq(usage.input, 5);
		}
	}
	buf_free(&out);
	session_end(&g);
}
END_TEST

/* Of 1 MB of images each byte is copied once: into what is sent, which does not grow on the way. */
START_TEST(test_images_are_copied_once)
{
	static const struct {
		enum endpoint_id client;
		enum dialect_id provider;
		const char *before, *after;
	} cases[] = {
		{ ENDPOINT_CHAT, DIALECT_ANTHROPIC,
			"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,",
			"\"}}]}]}" },
		{ ENDPOINT_CHAT, DIALECT_GEMINI,
			"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,",
			"\"}}]}]}" },
		{ ENDPOINT_CHAT, DIALECT_OLLAMA,
			"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,",
			"\"}}]}]}" },
		{ ENDPOINT_MESSAGES, DIALECT_OPENAI,
			"{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"",
			"\"}}]}]}" },
	};
	enum { IMAGE = 1 << 20 };

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct golden_case g;
		struct buf body = BUF_EMPTY, out = BUF_EMPTY, once = BUF_EMPTY;

		begin(&g, cases[i].client, cases[i].provider);
		buf_add(&body, str_of(cases[i].before));
		memset(buf_room(&body, IMAGE), 'A', IMAGE);
		buf_added(&body, IMAGE);
		buf_add(&body, str_of(cases[i].after));
		buf_room(&once, buf_len(&body) + buf_len(&body) / 8 + 1024);
		ck_assert_int_eq(translate_request(&g.chat, buf_str(&body), &out), 0);
		ck_assert_uint_gt(buf_len(&out), IMAGE);
		ck_assert_uint_eq(out.cap, once.cap);
		ck_assert_msg(g.arena.held < 65536, "%zu bytes beside it", g.arena.held);
		buf_free(&body);
		buf_free(&out);
		buf_free(&once);
		session_end(&g);
	}
}
END_TEST

UNIT_MAIN("dialect/translate", test_golden, test_memory, test_no_memory_per_event,
	test_usage_of_the_last, test_images_are_copied_once)
