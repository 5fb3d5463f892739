/*
 * account: what is counted of a request.
 *
 * Called by attempt when something happens that is counted at once, and by request at the end of
 * each, when all of it is known. Every count is a store into this worker's own row.
 *
 * A provider that fails 5 times within 5 minutes, as all workers together have seen it, is told of
 * at `alert`, once, by the worker that sees the fifth; and once more when it has answered again.
 * What this router itself has too little of is no failure of the provider.
 */
#include "proxy/account.h"

#include "net/clock.h"
#include "proxy/request_private.h"

/* More than that are no tokens of one answer, whatever the provider says. */
#define TOKENS_MOST (INT64_C(1) << 40)

static struct count_key
key_of(const struct request *r, enum metric metric)
{
	return (struct count_key){ .metric = metric, .path = r->path_number };
}

static void
add(struct request *r, struct count_key k, uint64_t n)
{
	count_add(&r->proxy->counts, &k, n);
}

static unsigned
provider_label(const struct request *r)
{
	return r->attempts > 0 ? r->provider->label : LABEL_OTHER;
}

static void
count_times(struct request *r)
{
	struct count_key k = key_of(r, METRIC_REQUEST_SECONDS);

	k.provider = provider_label(r);
	count_time(&r->proxy->counts, &k, clock_us() - r->began_us);
	if (r->first_byte_us > 0) {
		k.metric = METRIC_FIRST_BYTE_SECONDS;
		count_time(&r->proxy->counts, &k, r->first_byte_us - r->began_us);
	}
	k = key_of(r, METRIC_OVERHEAD_SECONDS);
	count_time(&r->proxy->counts, &k, r->overhead_us);
}

static void
add_tokens(struct request *r, struct count_key k, enum token_kind kind, int64_t n)
{
	k.detail = kind;
	if (n > 0 && n <= TOKENS_MOST)
		add(r, k, (uint64_t)n);
}

static void
count_tokens(struct request *r)
{
	const struct usage *u = &r->usage;
	int64_t thought = u->reasoning > 0 && u->reasoning <= u->output ? u->reasoning : 0;
	struct count_key k = { .metric = METRIC_TOKENS,
		.provider = r->provider->label,
		.client = r->key ? r->key->label : LABEL_OTHER };

	k.model = count_model(r->provider, r->target_model, r->model_label);
	add_tokens(r, k, TOKENS_INPUT, u->input);
	add_tokens(r, k, TOKENS_OUTPUT, u->output - thought);
	add_tokens(r, k, TOKENS_CACHE_READ, u->cache_read);
	add_tokens(r, k, TOKENS_CACHE_WRITE, u->cache_write);
	add_tokens(r, k, TOKENS_REASONING, u->reasoning);
}

/* Does a whole answer of this endpoint come with usage? */
static bool
has_tokens(const struct endpoint *e)
{
	return e &&
		(e->chat || e->id == ENDPOINT_COMPLETIONS || e->id == ENDPOINT_EMBEDDINGS ||
			e->id == ENDPOINT_RESPONSES);
}

void
account_request(struct request *r)
{
	struct count_key k = key_of(r, METRIC_REQUESTS);

	k.provider = provider_label(r);
	k.client = r->key ? r->key->label : LABEL_OTHER;
	k.detail = r->status <= 999 ? r->status : 0;
	add(r, k, 1);
	count_times(r);
	if (r->attempts == 0)
		return;
	if (r->has_usage) {
		count_tokens(r);
	} else if (r->status == 200 && r->end == END_COMPLETE && has_tokens(r->endpoint)) {
		k = (struct count_key){ .metric = METRIC_USAGE_MISSING, .provider = k.provider };
		add(r, k, 1);
	}
}

void
account_failure(struct request *r, enum upstream_end why)
{
	struct count_key k = { .metric = METRIC_UPSTREAM_ERRORS,
		.provider = r->provider->label,
		/* it has the same word: two series of one name are none that can be read */
		.detail = why == UPSTREAM_NO_CREDENTIAL ? UPSTREAM_CREDENTIAL : why };
	struct str word =
		why == UPSTREAM_STATUS ? STR("an answer of 500 or above") : upstream_end_text(why);

	add(r, k, 1);
	if (why != UPSTREAM_STATUS && upstream_end_kind(why) == ERROR_OVERLOADED)
		return;
	if (!trouble_failure(r->proxy->troubles, r->provider->label, clock_ms()))
		return;
	k = (struct count_key){ .metric = METRIC_UPSTREAM_ALERTS, .provider = r->provider->label };
	add(r, k, 1);
	log_alert("provider %.*s has failed %d times within %d minutes, at last: %.*s",
		STR_ARG(r->provider->name), TROUBLE_FAILURES, TROUBLE_SECONDS / 60, STR_ARG(word));
}

void
account_success(struct request *r)
{
	if (trouble_success(r->proxy->troubles, r->provider->label))
		log_alert("provider %.*s answers again", STR_ARG(r->provider->name));
}

void
account_limited(struct request *r)
{
	struct count_key k = key_of(r, METRIC_RATE_LIMITED);

	k.client = r->key ? r->key->label : LABEL_OTHER;
	add(r, k, 1);
}

void
account_heartbeat(struct request *r)
{
	add(r, (struct count_key){ .metric = METRIC_HEARTBEATS }, 1);
}
