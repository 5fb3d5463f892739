/*
 * conf_model: a provider's `model_options`: what the administrator knows of single models, which a
 * translated request must observe.
 *
 * Called by conf_value for the list and for the names that are stripped, and by the proxy for each
 * request that is translated (conf_model_options). The first entry whose pattern matches the
 * model's name upstream counts, and it alone; so an entry that another one hides is an error, as it
 * would never count. Faults are told and reading goes on; looking up cannot fail.
 */
#include "config/conf_private.h"

static void
check_pattern(struct conf_loader *l, config_setting_t *s, const struct conf_provider *p,
	const struct conf_model *m)
{
	if (m->model.len == 0) {
		conf_error(l, conf_named(s, "model"), "must not be empty: \"*\" is every model");
		return;
	}
	/* a pattern that matches the text of another matches all that the other does */
	for (const struct conf_model *other = p->model_options; other < m; other++) {
		if (str_glob(other->model, m->model)) {
			conf_error(l, conf_named(s, "model"),
				"stands behind \"%.*s\", which takes every model that it could: the first that matches counts",
				STR_ARG(str_head(other->model, 64)));
			break;
		}
	}
}

/* A word of which one is empty. */
static void
check_reasoning_field(struct conf_loader *l, config_setting_t *s, struct str field)
{
	if (field.len > 0 && !str_eq(field, STR("reasoning_content")) &&
		!str_eq(field, STR("reasoning")))
		conf_error(l, conf_named(s, "reasoning_field"),
			"must be \"\", \"reasoning_content\" or \"reasoning\", not \"%.*s\"",
			STR_ARG(str_head(field, 64)));
}

void
conf_read_model_options(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct conf_provider *p = base;

	if (!conf_is_list(l, s))
		return;
	p->model_options = arena_zero(&l->conf->arena, conf_length(s) * sizeof *p->model_options);
	for (unsigned i = 0; p->model_options && i < conf_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, i);
		struct conf_model *m = &p->model_options[p->n_model_options];

		conf_preset(&l->conf->arena, SCOPE_MODEL, m);
		conf_group_read(l, e, SCOPE_MODEL, m);
		if (!config_setting_is_group(e))
			continue;
		check_pattern(l, e, p, m);
		check_reasoning_field(l, e, m->chat.reasoning_field);
		p->n_model_options++;
	}
}

static bool
has_name(const struct chat_options *o, struct str name)
{
	for (size_t i = 0; i < o->n_strip; i++) {
		if (str_eq(o->strip[i], name))
			return true;
	}
	return false;
}

void
conf_read_strip(struct conf_loader *l, config_setting_t *s, void *base)
{
	struct chat_options *o = &((struct conf_model *)base)->chat;

	if (!conf_is_list(l, s))
		return;
	o->strip = arena_zero(&l->conf->arena, conf_length(s) * sizeof *o->strip);
	for (unsigned i = 0; o->strip && i < conf_length(s); i++) {
		config_setting_t *e = config_setting_get_elem(s, i);
		struct str name;

		if (!conf_text_value(l, e, "the name of a field in double quotes", &name))
			continue;
		if (name.len == 0)
			conf_error(l, e, "is an empty name");
		else if (has_name(o, name))
			conf_error(l, e, "names \"%.*s\" a second time",
				STR_ARG(str_head(name, 64)));
		else
			o->strip[o->n_strip++] = name;
	}
}

const struct chat_options *
conf_model_options(const struct conf_provider *p, struct str model)
{
	for (size_t i = 0; i < p->n_model_options; i++) {
		if (str_glob(p->model_options[i].model, model))
			return &p->model_options[i].chat;
	}
	return &p->other_models.chat;
}
