/*
 * conf_pid: `pid_file` alone, for `api-router -s`.
 *
 * The daemon that is to be signalled may run with a configuration that has since been broken, so
 * this reads on past whatever is wrong: the tokens are looked through for the name, an assignment
 * and a string, at any depth, and includes are followed where they can be. What fails is only the
 * file itself, or a value that is no string.
 */
#include "config/conf_private.h"

#include <stdio.h>

#include "config/secret.h"

static void
say_nothing(void *ctx, const char *file, unsigned line, const char *text)
{
	(void)ctx, (void)file, (void)line, (void)text;
}

/* The next token, past what is none. */
static struct conf_token
next(struct conf_scan *s)
{
	for (;;) {
		const struct conf_source *before = &s->sources[s->depth];
		size_t at = before->at;
		struct conf_token token = conf_scan_next(s);

		if (token.kind != TOKEN_BAD)
			return token;
		if (before == &s->sources[s->depth] && before->at == at)
			s->sources[s->depth].at++;
	}
}

/* The value: a string, or several in a row, which are one. 0, or -1 when it is something else. */
static int
strings(struct conf_scan *s, struct str *value)
{
	struct conf_token token = next(s);

	if (token.kind != TOKEN_STRING)
		return -1;
	*value = token.text;
	for (token = next(s); token.kind == TOKEN_STRING; token = next(s))
		*value = arena_printf(&s->text->arena, "%.*s%.*s", STR_ARG(*value),
			STR_ARG(token.text));
	return value->p ? 0 : -1;
}

/* 0, with `value` as it was when the name does not stand there; -1 when its value is no string. */
static int
find(struct conf_scan *s, struct str *value)
{
	struct conf_token token = next(s);

	while (token.kind != TOKEN_END) {
		bool name = token.kind == TOKEN_WORD && str_eq(token.text, STR("pid_file"));

		token = next(s);
		if (!name || (token.kind != '=' && token.kind != ':'))
			continue;
		return strings(s, value);
	}
	return 0;
}

/* As conf_load would take it: beside the configuration when it is relative. */
static int
put(struct conf_text *t, const char *path, struct str value, char *out, size_t size)
{
	struct str full = value.len > 0 ? conf_file_beside(&t->arena, path, value) : value;
	int len = full.p ? snprintf(out, size, "%.*s", STR_ARG(full)) : -1;

	return len >= 0 && (size_t)len < size ? 0 : -1;
}

int
conf_pid_file(const char *path, char *out, size_t size)
{
	const struct conf_row *row = conf_row_find(SCOPE_ROOT, STR("pid_file"));
	struct conf_teller teller = { .report = say_nothing };
	struct str value = str_of(row->text);
	struct conf_file *file;
	struct conf_scan scan;
	struct conf_text t;
	int result = -1;

	conf_text_init(&t, &teller);
	file = conf_file_read(&t, path, NULL, 0);
	if (file) {
		conf_scan_init(&scan, &t, file);
		scan.lenient = true;
		if (find(&scan, &value) == 0)
			result = put(&t, path, value, out, size);
	}
	conf_text_free(&t);
	return result;
}
