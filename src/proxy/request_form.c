/*
 * request_form: what a request asks for whose body is a form (multipart/form-data): uploads of
 * audio and images.
 *
 * The scanner of http/multipart passes over the parts as they come. Of them only `model` and
 * `stream` matter. A `model` that another reader could take for something else is refused: one that
 * stands twice, is a file, has a transfer encoding or control characters, or holds the boundary.
 * What happens to the body meanwhile is the same as with JSON (request_body): a long one whose
 * model has been seen is sent on as it comes, its last byte held back until the closing boundary is
 * there.
 */
#include <inttypes.h>

#include "proxy/request_private.h"

static int
refuse(struct request *r, struct str message, struct str param)
{
	attempt_close(r);
	request_fail_text(r, ERROR_INVALID, message, param);
	return -1;
}

bool
form_begin(struct request *r)
{
	struct str type = head_value(&r->head, STR("content-type"));
	const char *why;

	r->form = arena_alloc(&r->arena, sizeof *r->form);
	if (!r->form) {
		request_fail_memory(r);
		return false;
	}
	if (multipart_init(r->form, type, &why) == 0)
		return true;
	refuse(r,
		arena_printf(&r->arena,
			"the body of a request to %.*s is a form, with Content-Type: multipart/form-data; boundary=...; this one cannot be used: %s",
			STR_ARG(r->endpoint->path), why),
		STR(""));
	return false;
}

/* A name that would end its part, if not for every reader. */
static bool
holds_boundary(const struct request *r, struct str name)
{
	struct str dash = { r->form->dash, r->form->dash_len };

	return str_find(name, dash) < name.len;
}

bool
form_takes(struct request *r, struct str model)
{
	if (!r->form || !r->model.p || !holds_boundary(r, model))
		return true;
	refuse(r,
		STR("the boundary of the form stands in the name of the model that it is sent on for: use another boundary"),
		STR("model"));
	return false;
}

static int
take_model(struct request *r, const struct multipart_part *part)
{
	const char *why = r->model.p ? "stands twice in the form"
		: part->file         ? "must be a field of the form, not a file"
		: part->coded        ? "must not have a Content-Transfer-Encoding"
		: part->end - part->start > part->value.len
		? "is longer than a name of a model can be"
		: !json_text_plain(part->value) || holds_boundary(r, part->value)
		? "must be the name of a model: text without control characters"
		: NULL;

	if (why)
		return refuse(r, arena_printf(&r->arena, "`model` %s", why), STR("model"));
	r->model = arena_copy(&r->arena, part->value);
	r->model_token = (struct json_token){ .start = part->start, .end = part->end };
	if (r->model.p)
		return 0;
	request_fail_memory(r);
	return -1;
}

/* Is there a reader that takes this name for `model`? Some do not care for case, some for blanks
 * before a name, some take "model[]" for the same variable. */
static bool
passes_for_model(struct str name)
{
	struct str plain = str_trim(name);

	return str_eq_nocase(str_head(plain, str_index(plain, '[')), STR("model"));
}

static int
take_part(struct request *r, const struct multipart_part *part)
{
	if (str_eq(part->name, STR("model")))
		return take_model(r, part);
	if (passes_for_model(part->name))
		return refuse(r,
			arena_printf(&r->arena,
				"the form has a field `%.*s`: the name of a model stands in `model`",
				STR_ARG(part->name)),
			STR("model"));
	if (str_eq(part->name, STR("stream")))
		r->stream = r->endpoint->streams && str_eq(part->value, STR("true"));
	return 0;
}

static int
fail_form(struct request *r)
{
	return refuse(r,
		arena_printf(&r->arena, "the body is not a valid form: %s at byte %" PRIu64,
			r->form->fault, r->form->offset),
		STR(""));
}

int
form_read(struct request *r, struct str piece)
{
	while (piece.len > 0) {
		struct multipart_part part;
		bool got;
		long n = multipart_next(r->form, piece, &part, &got);

		if (n < 0)
			return fail_form(r);
		if (got && take_part(r, &part) < 0)
			return -1;
		piece = str_skip(piece, (size_t)n);
	}
	return 0;
}

int
form_end(struct request *r)
{
	return multipart_end(r->form) < 0 ? fail_form(r) : 0;
}
