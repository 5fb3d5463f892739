/*
 * What a configuration says of translation: the native dialects, max_tokens, unsupported,
 * model_options, which of them a model gets, and endpoints that are served by translation alone.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "config/conf_private.h"

#define ck_assert_text(s, literal)                                                            \
	do {                                                                                  \
		struct str is_ = (s);                                                         \
		ck_assert_msg(str_eq(is_, STR(literal)), "%s is \"%.*s\"", #s, STR_ARG(is_)); \
	} while (0)

static void
fail_test(void *ctx, const char *file, unsigned line, const char *text)
{
	(void)ctx;
	ck_abort_msg("%s:%u: %s", file, line, text);
}

static struct conf *
load(const char *text)
{
	struct conf_options o = { .path = "/etc/t.conf" };

	return conf_load_text(&o, str_of(text), fail_test, NULL);
}

static void
check_defaults(const struct chat_options *o)
{
	ck_assert_uint_eq(o->max_tokens_cap, 0);
	ck_assert_text(o->reasoning_field, "");
	ck_assert(!o->completion_tokens && !o->no_developer_role && !o->no_sampling &&
		!o->no_forced_tools && !o->no_structured_output && !o->no_stream_usage &&
		!o->no_reasoning_with_tools && !o->cache_breakpoints);
	ck_assert_int_eq(o->reasoning, STYLE_AUTO);
	ck_assert_uint_eq(o->n_strip, 0);
}

START_TEST(defaults)
{
	static const struct {
		const char *word;
		enum dialect_id dialect;
	} cases[] = {
		{ "openai", DIALECT_OPENAI },
		{ "anthropic", DIALECT_ANTHROPIC },
		{ "gemini", DIALECT_GEMINI },
		{ "cohere", DIALECT_COHERE },
		{ "ollama", DIALECT_OLLAMA },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[256];
		struct conf *c;
		const struct conf_provider *p;

		snprintf(text, sizeof text,
			"providers: { p: { dialect = \"%s\"; base_url = \"http://h\"; }; };",
			cases[i].word);
		c = load(text);
		p = &c->providers[0];
		ck_assert_int_eq(p->dialect, cases[i].dialect);
		ck_assert_uint_eq(p->max_tokens, 4096);
		ck_assert(!p->reject);
		ck_assert_uint_eq(p->n_model_options, 0);
		check_defaults(conf_model_options(p, STR("any")));
		conf_free(c);
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

static const char options[] =
	"providers: { p: { dialect = \"cohere\"; base_url = \"http://h\"; max_tokens = 1; unsupported = \"reject\";\n"
	"	model_options = (\n"
	"		{ model = \"gpt-5*-mini\"; max_tokens_cap = 128000; reasoning_field = \"reasoning_content\";\n"
	"		  tokens_field = \"max_completion_tokens\"; developer_role = false; sampling = false; forced_tools = false;\n"
	"		  structured_output = false; stream_usage = false; reasoning = \"adaptive\"; reasoning_with_tools = false;\n"
	"		  cache_breakpoints = true; strip = ( \"user\", \"\\\"\", \"a.b\" ); },\n"
	"		{ model = \"gpt-*\"; reasoning_field = \"reasoning\"; reasoning = \"none\"; },\n"
	"		{ model = \"\\\\*\"; max_tokens_cap = 100000000; sampling = true; tokens_field = \"max_tokens\"; } ); };\n"
	"	q: { base_url = \"http://h\"; model_options = ( { reasoning = \"budget\"; } ); };\n"
	"	r: { base_url = \"http://h\"; model_options = ( ); }; };\n";

START_TEST(everything_is_read_back)
{
	struct conf *c = load(options);
	const struct conf_provider *p = &c->providers[0];
	const struct chat_options *o = &p->model_options[0].chat;

	ck_assert_uint_eq(p->max_tokens, 1);
	ck_assert(p->reject);
	ck_assert_uint_eq(p->n_model_options, 3);
	ck_assert_text(p->model_options[0].model, "gpt-5*-mini");
	ck_assert_uint_eq(o->max_tokens_cap, 128000);
	ck_assert_text(o->reasoning_field, "reasoning_content");
	ck_assert(o->completion_tokens && o->no_developer_role && o->no_sampling &&
		o->no_forced_tools && o->no_structured_output && o->no_stream_usage &&
		o->no_reasoning_with_tools && o->cache_breakpoints);
	ck_assert_int_eq(o->reasoning, STYLE_ADAPTIVE);
	ck_assert_uint_eq(o->n_strip, 3);
	ck_assert_text(o->strip[0], "user");
	ck_assert_text(o->strip[1], "\"");
	ck_assert_text(o->strip[2], "a.b");
	ck_assert_text(p->model_options[1].chat.reasoning_field, "reasoning");
	ck_assert_int_eq(p->model_options[1].chat.reasoning, STYLE_NONE);
	ck_assert_uint_eq(p->model_options[2].chat.max_tokens_cap, 100000000);
	ck_assert(!p->model_options[2].chat.no_sampling);
	ck_assert(!p->model_options[2].chat.completion_tokens);
	conf_free(c);
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

START_TEST(first_match_counts)
{
	struct conf *c = load(options);
	const struct conf_provider *p = &c->providers[0];

	ck_assert_ptr_eq(conf_model_options(p, STR("gpt-5-mini")), &p->model_options[0].chat);
	ck_assert_ptr_eq(conf_model_options(p, STR("gpt-5.1-x-mini")), &p->model_options[0].chat);
	ck_assert_ptr_eq(conf_model_options(p, STR("gpt-5")), &p->model_options[1].chat);
	ck_assert_ptr_eq(conf_model_options(p, STR("gpt-")), &p->model_options[1].chat);
	ck_assert_ptr_eq(conf_model_options(p, STR("\\x")), &p->model_options[2].chat);
	/* what no pattern matches has the defaults, and nothing of the others */
	check_defaults(conf_model_options(p, STR("GPT-5")));
	check_defaults(conf_model_options(p, STR("xgpt-5")));
	check_defaults(conf_model_options(p, STR("")));
	/* an entry without a pattern is for every model */
	ck_assert_int_eq(conf_model_options(&c->providers[1], STR("m"))->reasoning, STYLE_BUDGET);
	ck_assert_int_eq(conf_model_options(&c->providers[1], STR(""))->reasoning, STYLE_BUDGET);
	check_defaults(conf_model_options(&c->providers[2], STR("m")));
	conf_seal(c);
	check_defaults(conf_model_options(&c->providers[2], STR("m")));
	conf_free(c);
}
END_TEST

static char *
print(const struct conf *c)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(f);
	conf_print(c, f);
	fclose(f);
	return text;
}

START_TEST(print_loads_to_the_same)
{
	struct conf *c = load(options);
	char *first = print(c), *second;

	conf_free(c);
	ck_assert_ptr_nonnull(
		strstr(first, "\t\tmax_tokens = 1;\n\t\tunsupported = \"reject\";\n"));
	ck_assert_ptr_nonnull(strstr(first,
		"{ model = \"gpt-5*-mini\"; max_tokens_cap = 128000; reasoning_field = \"reasoning_content\"; "
		"tokens_field = \"max_completion_tokens\"; developer_role = false; sampling = false; "
		"forced_tools = false; structured_output = false; stream_usage = false; reasoning = \"adaptive\"; "
		"reasoning_with_tools = false; cache_breakpoints = true; strip = ( \"user\", \"\\\"\", \"a.b\" ); },\n"));
	ck_assert_ptr_nonnull(strstr(first,
		"{ model = \"*\"; max_tokens_cap = 0; reasoning_field = \"\"; tokens_field = \"max_tokens\"; "
		"developer_role = true; sampling = true; forced_tools = true; structured_output = true; "
		"stream_usage = true; reasoning = \"budget\"; reasoning_with_tools = true; "
		"cache_breakpoints = false; strip = ( ); }\n"));
	ck_assert_ptr_nonnull(strstr(first, "\t\tmodel_options = ( );\n"));
	c = load(first);
	second = print(c);
	ck_assert_str_eq(first, second);
	conf_free(c);
	free(first);
	free(second);
}
END_TEST

/* Each dialect: paths that it has, and those that are served by translation. */
START_TEST(endpoints_of_dialects)
{
	static const struct {
		const char *dialect, *paths[8];
	} cases[] = {
		{ "openai",
			{ "/v1/chat/completions", "/v1/completions", "/v1/embeddings",
				"/v1/responses", "/v1/rerank", "/v1/messages" } },
		{ "anthropic",
			{ "/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions",
				"/v1/completions" } },
		{ "gemini",
			{ "/v1/chat/completions", "/v1/completions", "/v1/embeddings",
				"/v1/messages" } },
		{ "cohere",
			{ "/v1/chat/completions", "/v1/completions", "/v1/embeddings",
				"/v1/messages", "/v1/rerank" } },
		{ "ollama",
			{ "/v1/chat/completions", "/v1/completions", "/v1/embeddings",
				"/v1/messages" } },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool gemini = strcmp(cases[i].dialect, "gemini") == 0;
		char text[1024];
		int len = snprintf(text, sizeof text,
			"providers: { p: { dialect = \"%s\"; base_url = \"http://h\"; endpoints = (",
			cases[i].dialect);
		struct conf *c;
		char *printed;
		size_t n = 0;

		for (; cases[i].paths[n]; n++)
			len += snprintf(text + len, sizeof text - (size_t)len,
				"%s{ path = \"%s\"; %s }", n > 0 ? ", " : "", cases[i].paths[n],
				gemini ? "" : "upstream_path = \"/own?a=b\";");
		snprintf(text + len, sizeof text - (size_t)len, " ); }; };");
		c = load(text);
		ck_assert_uint_eq(c->providers[0].n_endpoints, n);
		for (size_t j = 0; j < n; j++) {
			const struct conf_endpoint *e = &c->providers[0].endpoints[j];

			ck_assert_ptr_eq(c->providers[0].by_endpoint[e->endpoint->id], e);
			ck_assert(str_eq(e->target, gemini ? STR("") : STR("/own")));
			ck_assert_text(e->method_name, "POST");
		}
		printed = print(c);
		conf_free(c);
		/* Gemini's own are not printed, since they could not be read again */
		ck_assert_int_eq(!strstr(printed, "method = "), gemini);
		conf_free(load(printed));
		free(printed);
	}
	ck_assert_uint_eq(mem_used(), 0);
}
END_TEST

static void
count_told(void *ctx, const char *file, unsigned line, const char *text)
{
	(void)file, (void)line, (void)text;
	++*(unsigned *)ctx;
}

/* Every allocation fails in its turn. */
START_TEST(out_of_memory)
{
	struct conf_options o = { .path = "/etc/t.conf" };
	struct conf *c = NULL;
	size_t n;

	for (n = 1; !c && n < 200; n++) {
		unsigned told = 0;

		mem_fail_after(n);
		c = conf_load_text(&o, str_of(options), count_told, &told);
		mem_fail_after(0);
		ck_assert(!c == (told > 0));
		if (!c)
			ck_assert_uint_eq(mem_used(), 0);
	}
	ck_assert_ptr_nonnull(c);
	conf_free(c);
}
END_TEST

UNIT_MAIN("config/conf_model", defaults, everything_is_read_back, first_match_counts,
	print_loads_to_the_same, endpoints_of_dialects, out_of_memory)
