/*
 * client_out: the way out of a client's connection: gathered, framed, one write a turn.
 *
 * While a handler runs, what a client is to be sent is gathered as slices, in `clients->gather`,
 * which belongs to one client at a time. client_flush puts the chunk's head before them and writes
 * all with one call; what the socket does not take is copied into the client's own buffer, which
 * then goes first. So a reply that flows is not copied at all.
 *
 * A connection that breaks is only marked here; client.c takes it down in the same turn.
 */
#include "proxy/client_private.h"

#include <string.h>

#include "http/body.h"

static struct iovec
iov_of(struct str s)
{
	struct iovec iov = { .iov_len = s.len };

	memcpy(&iov.iov_base, &s.p, sizeof s.p);
	return iov;
}

static void
broken(struct client *c)
{
	c->broken = true;
	buf_free(&c->out);
	loop_later(c->proxy->loop, &c->next);
}

static struct gather_out *
gather_for(struct client *c)
{
	struct gather_out *g = &c->clients->gather;

	if (g->owner != c && g->owner)
		client_flush(g->owner);
	g->owner = c;
	return g;
}

void
client_raw(struct client *c, struct str bytes)
{
	struct gather_out *g = gather_for(c);

	if (g->n > 0) { /* heads come before data */
		client_flush(c);
		g->owner = c;
	}
	if (buf_add(&g->raw, bytes) < 0) {
		g->raw.failed = false;
		broken(c);
	}
}

void
client_length(struct client *c, uint64_t length)
{
	client_raw(c, STR("content-length: "));
	buf_u64(&gather_for(c)->raw, length, 1);
}

void
client_data(struct client *c, struct str piece)
{
	struct gather_out *g = gather_for(c);

	if (piece.len == 0 || c->head_only)
		return;
	if (g->n == GATHER_MOST) {
		client_flush(c);
		g->owner = c;
	}
	g->pieces[g->n++] = piece;
	g->data_len += piece.len;
}

static void
gather_clear(struct gather_out *g)
{
	buf_consume(&g->raw, buf_len(&g->raw));
	g->n = 0;
	g->data_len = 0;
	g->owner = NULL;
}

/* What was not sent of the vector goes behind what waits already. */
static void
keep_unsent(struct client *c, const struct iovec *iov, int n, size_t sent)
{
	for (int i = 0; i < n; i++) {
		size_t gone = sent < iov[i].iov_len ? sent : iov[i].iov_len;

		sent -= gone;
		if (gone < iov[i].iov_len)
			buf_add(&c->out,
				(struct str){ (const char *)iov[i].iov_base + gone,
					iov[i].iov_len - gone });
	}
	if (c->out.failed)
		broken(c);
	else if (buf_len(&c->out) > 0)
		client_update(c);
}

static int
gather_vector(struct client *c, struct gather_out *g, struct iovec *iov,
	char chunk[BODY_CHUNK_HEAD_MAX], bool last)
{
	bool chunked = c->framing == FRAMING_CHUNKED && !c->head_only;
	int n = 0;

	if (buf_len(&g->raw) > 0)
		iov[n++] = iov_of(buf_str(&g->raw));
	if (g->n > 0 && chunked)
		iov[n++] = iov_of((struct str){ chunk, body_chunk_head(chunk, g->data_len) });
	for (unsigned i = 0; i < g->n; i++)
		iov[n++] = iov_of(g->pieces[i]);
	if (g->n > 0 && chunked)
		iov[n++] =
			iov_of(last ? STR(BODY_CHUNK_TAIL BODY_CHUNK_LAST) : STR(BODY_CHUNK_TAIL));
	else if (last && chunked)
		iov[n++] = iov_of(STR(BODY_CHUNK_LAST));
	return n;
}

/* Send what is gathered, and the end of a chunked body where it is the `last`. */
static void
flush(struct client *c, bool last)
{
	struct gather_out *g = gather_for(c);
	struct iovec iov[GATHER_MOST + 3];
	char chunk[BODY_CHUNK_HEAD_MAX];
	int n = gather_vector(c, g, iov, chunk, last);
	long sent = 0;

	if (n > 0 && !c->broken) {
		if (buf_len(&c->out) == 0)
			sent = wire_writev(&c->wire, iov, n);
		if (sent < 0)
			broken(c);
		else
			keep_unsent(c, iov, n, (size_t)sent);
	}
	gather_clear(g);
}

void
client_flush(struct client *c)
{
	if (c->clients->gather.owner == c)
		flush(c, false);
}

void
client_flush_last(struct client *c)
{
	flush(c, true);
}

void
client_forget(struct client *c)
{
	if (c->clients->gather.owner == c)
		gather_clear(&c->clients->gather);
}

void
client_write(struct client *c)
{
	struct iovec iov = iov_of(buf_str(&c->out));
	long sent = wire_writev(&c->wire, &iov, 1);

	if (sent < 0) {
		broken(c);
		return;
	}
	buf_consume(&c->out, (size_t)sent);
	c->sending = c->sending && sent == 0;
	if (buf_len(&c->out) == 0)
		buf_free(&c->out);
	client_update(c);
}
