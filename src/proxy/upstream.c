/*
 * upstream: one attempt at a provider.
 *
 *     start --> STARTING --> RESOLVING --> CONNECTING --> HANDSHAKING --> TALKING --> done | failed
 *                   `---- a pooled connection -------------------------^
 *
 * While TALKING the request is sent and the reply read independently: a provider may answer before
 * it has the whole request, then the connection is not used again. A pooled connection that ends
 * before any byte of a reply is taken as one that the provider had closed while it was idle: the
 * request is sent once more, on a new connection, if all of it is still at hand.
 *
 * Time: connecting (names, addresses in turn, TLS) shares timeouts.connect; then first_byte runs,
 * from the last bytes that the provider took, to the first byte of the body, idle between two
 * reads, total over everything. While there is nothing to send because the owner has no more of the
 * body yet, first_byte does not run: how long that may take is between the owner and its client.
 * While the owner holds the reply back (upstream_pause) idle does not run.
 *
 * Everything that fails is told through ops->failed, once; the connection is closed then. The owner
 * frees nothing here but calls upstream_close when it loses interest.
 */
#include "proxy/upstream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "net/clock.h"
#include "net/sock.h"

#define RESOLVE_WAIT_MS 10   /* a first answer of the resolver is looked for this often */
#define ADDRESS_LEAST_MS 250 /* time that an address gets at least before the next is tried */

static const struct {
	enum error_kind kind;
	struct str word, text;
} ends[] = {
	[UPSTREAM_OK] = { ERROR_INTERNAL, STR_INIT("ok"), STR_INIT("ok") },
#define UPSTREAM_END(name, kind, word, text) \
	[UPSTREAM_##name] = { ERROR_##kind, STR_INIT(word), STR_INIT(text) },
#include "report/upstream_end.def"
#undef UPSTREAM_END
};

static void upstream_on_ready(struct wire *w, unsigned ready);
static void connect_next(struct upstream *u);
static void connect_begin(struct upstream *u);

enum error_kind
upstream_end_kind(enum upstream_end end)
{
	return ends[end].kind;
}

struct str
upstream_end_word(enum upstream_end end)
{
	return ends[end].word;
}

struct str
upstream_end_text(enum upstream_end end)
{
	return ends[end].text;
}

bool
upstream_is_open(const struct upstream *u)
{
	return u->state != UPSTREAM_IDLE;
}

static void
timer_update(struct upstream *u)
{
	uint64_t due = u->phase_due_ms, now = clock_ms();

	if (u->total_due_ms > 0 && (due == 0 || u->total_due_ms < due))
		due = u->total_due_ms;
	if (due == 0)
		loop_timer_clear(u->proxy->loop, &u->timer);
	else
		loop_timer_set(u->proxy->loop, &u->timer, due > now ? due - now : 0);
}

/* The current phase may last `ms` from now; 0: as long as it takes. */
static void
phase(struct upstream *u, uint64_t ms)
{
	u->phase_due_ms = ms > 0 ? clock_ms() + ms : 0;
	timer_update(u);
}

/* Everything back but the counters of time; the link is gone already. */
static void
upstream_end(struct upstream *u)
{
	u->state = UPSTREAM_IDLE;
	loop_timer_clear(u->proxy->loop, &u->timer);
	buf_free(&u->out);
	buf_free(&u->in);
}

static void
link_drop(struct upstream *u, enum close_reason why)
{
	if (u->link)
		pool_drop(u->link, why);
	u->link = NULL;
}

void
upstream_close(struct upstream *u)
{
	if (u->state == UPSTREAM_IDLE)
		return;
	link_drop(u, CLOSE_ABANDONED);
	upstream_end(u);
}

static size_t
parts_len(const struct upstream *u)
{
	size_t len = 0;

	for (int i = 0; i < UPSTREAM_PARTS; i++)
		len += u->message.parts[i].len;
	return len;
}

bool
upstream_all_sent(const struct upstream *u)
{
	return u->sent == parts_len(u) && u->message.more == 0 && buf_len(&u->out) == 0;
}

static void
fail_with(struct upstream *u, enum upstream_end why, struct str detail)
{
	bool begun = u->state == UPSTREAM_TALKING && (upstream_all_sent(u) || u->got_bytes);

	link_drop(u, CLOSE_FAILED);
	upstream_end(u);
	u->ops->failed(u->owner, why, detail, begun);
}

static void
fail(struct upstream *u, enum upstream_end why)
{
	fail_with(u, why, STR(""));
}

static void
fail_errno(struct upstream *u, enum upstream_end why, int error)
{
	fail_with(u, why, error ? str_of(strerror(error)) : STR(""));
}

/* The connection ended: `why` if a reply had begun, else it is sent again where that is right. */
static void
connection_lost(struct upstream *u, enum upstream_end why, int error)
{
	if (u->got_bytes) {
		fail_errno(u, why, error);
	} else if (u->reused && u->message.replayable) {
		link_drop(u, CLOSE_STALE);
		u->reused = false;
		u->sent = 0;
		u->write_failed = false;
		connect_begin(u);
	} else {
		fail_errno(u, why == UPSTREAM_CUT ? UPSTREAM_CLOSED : why, error);
	}
}

static int
want_update(struct upstream *u)
{
	unsigned want = u->paused ? 0 : WANT_READ;
	bool sending = u->sent < parts_len(u) || buf_len(&u->out) > 0;

	if (sending && !u->write_failed)
		want |= WANT_WRITE;
	return wire_want(&u->link->wire, want);
}

/* What is still to be sent, as a vector. */
static int
pending(const struct upstream *u, struct iovec iov[UPSTREAM_PARTS + 1])
{
	size_t skip = u->sent;
	struct str out = buf_str(&u->out);
	int n = 0;

	for (int i = 0; i < UPSTREAM_PARTS; i++) {
		struct str part = u->message.parts[i];
		size_t gone = skip < part.len ? skip : part.len;

		skip -= gone;
		part = str_skip(part, gone);
		if (part.len > 0) {
			memcpy(&iov[n].iov_base, &part.p, sizeof part.p);
			iov[n++].iov_len = part.len;
		}
	}
	if (out.len > 0) {
		memcpy(&iov[n].iov_base, &out.p, sizeof out.p);
		iov[n++].iov_len = out.len;
	}
	return n;
}

/* The provider took some of the request, or now has all that there was of it. */
static void
request_moved(struct upstream *u)
{
	bool waits = u->message.more > 0 && u->sent == parts_len(u) && buf_len(&u->out) == 0;

	if (!u->got_data && !u->paused && !u->write_failed)
		phase(u, waits ? 0 : u->provider->timeouts.first_byte_ms);
}

/* A failed write is not yet the end: the provider may have answered before it closed, so the read
 * decides. */
static void
upstream_write(struct upstream *u)
{
	struct iovec iov[UPSTREAM_PARTS + 1];
	int n = pending(u, iov);
	size_t parts = parts_len(u) - u->sent, had = buf_len(&u->out);
	long sent = n > 0 && !u->write_failed ? wire_writev(&u->link->wire, iov, n) : 0;

	if (sent < 0) {
		u->write_failed = true;
	} else if ((size_t)sent <= parts) {
		u->sent += (size_t)sent;
	} else {
		u->sent += parts;
		buf_consume(&u->out, (size_t)sent - parts);
	}
	if (sent > 0)
		request_moved(u);
	if (want_update(u) < 0)
		fail(u, UPSTREAM_MEMORY);
	else if (had > 0 && buf_len(&u->out) == 0)
		u->ops->room(u->owner);
}

void
upstream_send(struct upstream *u, struct str piece)
{
	struct iovec iov = { .iov_len = piece.len };
	bool direct =
		u->state == UPSTREAM_TALKING && u->sent == parts_len(u) && buf_len(&u->out) == 0;
	long sent = 0;

	assert(u->message.more >= piece.len);
	u->message.more -= piece.len;
	if (u->write_failed)
		return;
	memcpy(&iov.iov_base, &piece.p, sizeof piece.p);
	if (direct)
		sent = wire_writev(&u->link->wire, &iov, 1);
	if (sent < 0)
		u->write_failed = true;
	else if (buf_add(&u->out, str_skip(piece, (size_t)sent)) < 0)
		fail(u, UPSTREAM_MEMORY);
	else if (direct && buf_len(&u->out) > 0 && want_update(u) < 0)
		fail(u, UPSTREAM_MEMORY);
	else if (direct)
		request_moved(u);
}

size_t
upstream_queued(const struct upstream *u)
{
	return buf_len(&u->out);
}

void
upstream_pause(struct upstream *u, bool paused)
{
	if (u->state != UPSTREAM_TALKING || u->paused == paused)
		return;
	u->paused = paused;
	phase(u, paused ? 0 : u->provider->timeouts.idle_ms);
	if (want_update(u) < 0)
		fail(u, UPSTREAM_MEMORY);
}

/* The reply is complete. `rest`: bytes that followed it, which nobody asked for. */
static void
reply_done(struct upstream *u, size_t rest)
{
	struct link *link = u->link;

	u->link = NULL;
	if (u->keep && rest == 0 && upstream_all_sent(u))
		pool_give(link);
	else
		pool_drop(link, CLOSE_DONE);
	upstream_end(u);
	u->ops->done(u->owner);
}

/* Hand over body bytes, which are the caller's to write to. False when the attempt is over. */
static bool
read_body(struct upstream *u, char *p, size_t len)
{
	while (len > 0 && !u->body.done) {
		struct str data;
		long n = body_join(&u->body, p, len, &data);

		if (n < 0) {
			fail(u, UPSTREAM_HTTP);
			return false;
		}
		p += n;
		len -= (size_t)n;
		if (data.len == 0)
			continue;
		u->got_data = true;
		u->ops->data(u->owner, data);
		if (u->state == UPSTREAM_IDLE)
			return false;
	}
	if (u->body.done) {
		reply_done(u, len);
		return false;
	}
	return true;
}

/* A whole head is in `in`. Bytes to skip, 0 when more is needed, -1 when the attempt is over. */
static long
read_head(struct upstream *u, struct str in)
{
	const struct conf *c = u->proxy->conf;
	struct head h = { .fields = u->proxy->fields, .cap = c->limits.headers };
	struct head_framing f;
	enum head_fault fault;
	long len = head_end(in, c->limits.header_bytes, &u->scanned, &fault);

	if (len == 0)
		return 0;
	if (len < 0 || head_parse_reply(&h, str_head(in, (size_t)len), &fault) < 0 ||
		head_framing_reply(&h, STR("POST"), &f, &fault) < 0) {
		fail_with(u, UPSTREAM_HTTP, str_of(head_fault_text(fault)));
		return -1;
	}
	u->scanned = 0;
	if (h.status < 200)
		return len;
	u->got_head = true;
	u->keep = f.keep_alive && f.kind != FRAMING_CLOSE;
	body_init(&u->body, f.kind, f.length);
	u->ops->head(u->owner, &h, &f);
	return u->state == UPSTREAM_IDLE ? -1 : len;
}

/* Heads: 1xx ones and the final one. Bytes consumed, or -1 when the attempt is over. */
static long
read_heads(struct upstream *u, struct str in)
{
	size_t used = 0;

	while (!u->got_head) {
		long n = read_head(u, str_skip(in, used));

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		used += (size_t)n;
	}
	return (long)used;
}

/* The head began in an earlier read. */
static bool
read_kept(struct upstream *u, struct str in)
{
	struct buf kept = u->in; /* ours alone: the owner may close the attempt meanwhile */
	bool open = false;
	long used;

	u->in = BUF_EMPTY;
	if (buf_add(&kept, in) < 0) {
		fail(u, UPSTREAM_MEMORY);
	} else if ((used = read_heads(u, buf_str(&kept))) >= 0) {
		buf_consume(&kept, (size_t)used);
		if (!u->got_head) {
			u->in = kept;
			return true;
		}
		open = read_body(u, kept.p + kept.start, buf_len(&kept));
		if (open) { /* the slices must not outlive `kept` */
			u->ops->turn(u->owner);
			open = u->state != UPSTREAM_IDLE;
		}
	}
	buf_free(&kept);
	return open;
}

/* False when the attempt is over. */
static bool
read_bytes(struct upstream *u, char *p, size_t len)
{
	struct str in = { p, len };
	long used;

	if (u->got_head)
		return read_body(u, p, len);
	if (buf_len(&u->in) > 0)
		return read_kept(u, in);
	used = read_heads(u, in);
	if (used < 0)
		return false;
	if (u->got_head)
		return read_body(u, p + used, len - (size_t)used);
	if (buf_add(&u->in, str_skip(in, (size_t)used)) < 0) {
		fail(u, UPSTREAM_MEMORY);
		return false;
	}
	return true;
}

static void
reply_ended(struct upstream *u, long how)
{
	if (u->got_head && u->body.kind == FRAMING_CLOSE && how == WIRE_END)
		reply_done(u, 0);
	else
		connection_lost(u, how == WIRE_BROKEN ? UPSTREAM_RESET : UPSTREAM_CUT,
			how == WIRE_BROKEN ? errno : 0);
}

static void
upstream_read(struct upstream *u)
{
	long n = wire_read(&u->link->wire, u->proxy->scratch, PROXY_READ);

	if (n == WIRE_WAIT) {
		if (u->write_failed && !u->got_bytes)
			connection_lost(u, UPSTREAM_RESET, 0);
		return;
	}
	if (n < 0) {
		reply_ended(u, n);
		return;
	}
	u->got_bytes = true;
	if (!read_bytes(u, u->proxy->scratch, (size_t)n))
		return;
	if (u->got_data && !u->paused)
		phase(u, u->provider->timeouts.idle_ms);
	if (u->got_head)
		u->ops->turn(u->owner);
}

static void
talk(struct upstream *u)
{
	u->state = UPSTREAM_TALKING;
	u->link->wire.on_ready = upstream_on_ready;
	u->link->user = u;
	if (!u->connected_us)
		u->connected_us = clock_us();
	phase(u, u->provider->timeouts.first_byte_ms);
	upstream_write(u);
}

static void
handshake(struct upstream *u)
{
	char text[160];
	int done = wire_handshake(&u->link->wire, text, sizeof text);

	if (done > 0)
		talk(u);
	else if (done < 0)
		fail_with(u, UPSTREAM_TLS, str_of(text));
}

static void
connected(struct upstream *u)
{
	const struct conf_provider *p = u->provider;

	count_add(&u->proxy->counts,
		&(struct count_key){ .metric = METRIC_UPSTREAM_CONNECTS, .provider = p->label }, 1);
	if (!p->https) {
		talk(u);
	} else if (wire_start_tls(&u->link->wire, p->tls, p->server_name) < 0) {
		fail(u, UPSTREAM_MEMORY);
	} else {
		u->state = UPSTREAM_HANDSHAKING;
		u->phase_due_ms = u->connect_due_ms;
		timer_update(u);
		handshake(u);
	}
}

static void
upstream_on_ready(struct wire *w, unsigned ready)
{
	struct link *link = (struct link *)((char *)w - offsetof(struct link, wire));
	struct upstream *u = link->user;

	switch (u->state) {
	case UPSTREAM_CONNECTING:
		u->last_errno = sock_error(w->watch.fd);
		if (u->last_errno == 0) {
			connected(u);
			return;
		}
		link_drop(u, CLOSE_FAILED);
		connect_next(u);
		return;
	case UPSTREAM_HANDSHAKING:
		handshake(u);
		return;
	default:
		if (ready & READY_WRITE)
			upstream_write(u);
		if (u->state != UPSTREAM_TALKING || u->link != link ||
			!(ready & (READY_READ | READY_HANGUP)))
			return;
		if (!u->paused)
			upstream_read(u);
		else if (ready & READY_HANGUP)
			wire_park(w); /* told once; the next read after the pause finds it */
	}
}

/* Try to connect to one address. 0 when it is under way, 1 when it failed at once and another may
 * do better, -1 when the attempt is over. */
static int
connect_to(struct upstream *u, const union sock_address *a, unsigned left)
{
	uint64_t now = clock_ms(), remains, share;
	bool done;
	int fd;

	do
		fd = sock_connect(a, &done);
	while (fd < 0 && (errno == EMFILE || errno == ENFILE) && pool_spare(u->proxy));
	if (fd < 0) {
		u->last_errno = errno;
		if (errno == EMFILE || errno == ENFILE)
			fail_errno(u, UPSTREAM_DESCRIPTORS, errno);
		else if (errno == ENOMEM || errno == ENOBUFS)
			fail_errno(u, UPSTREAM_MEMORY, errno);
		else
			return 1;
		return -1;
	}
	u->link = pool_new(&u->proxy->pools[u->provider->index], fd, upstream_on_ready);
	if (!u->link) {
		fail(u, UPSTREAM_MEMORY);
		return -1;
	}
	u->link->user = u;
	remains = u->connect_due_ms > now ? u->connect_due_ms - now : 1;
	share = remains / (left > 0 ? left : 1);
	if (share < ADDRESS_LEAST_MS)
		share = remains < ADDRESS_LEAST_MS ? remains : ADDRESS_LEAST_MS;
	phase(u, u->connect_due_ms > 0 ? share : 0);
	if (wire_want(&u->link->wire, WANT_WRITE) < 0) {
		fail(u, UPSTREAM_MEMORY);
		return -1;
	}
	return 0;
}

/* The addresses to try. False when there are none (yet): the attempt waits or has failed. */
static bool
addresses_get(struct upstream *u, struct address_list *list)
{
	address_get(u->proxy->addresses, u->provider->index, list);
	if (list->resolved_at_ms == 0) {
		u->state = UPSTREAM_RESOLVING;
		u->phase_due_ms = clock_ms() + RESOLVE_WAIT_MS;
		timer_update(u);
		return false;
	}
	if (list->n == 0) {
		list->error[sizeof list->error - 1] = '\0';
		fail_with(u, UPSTREAM_RESOLVE, str_of(list->error));
		return false;
	}
	return true;
}

static void
connect_next(struct upstream *u)
{
	const struct conf_provider *p = u->provider;
	struct address_list list = { .n = 1 };
	int failed = 1;

	if (!p->is_numeric && !addresses_get(u, &list))
		return;
	u->state = UPSTREAM_CONNECTING;
	while (failed == 1 && u->next_address < list.n) {
		union sock_address a = p->numeric;
		unsigned left = list.n - u->next_address;

		if (!p->is_numeric)
			address_sock(&list, u->next_address, p->port, &a);
		u->next_address++;
		failed = connect_to(u, &a, left);
	}
	if (failed == 1)
		fail_errno(u, u->last_errno == ETIMEDOUT ? UPSTREAM_CONNECT_TIME : UPSTREAM_REFUSED,
			u->last_errno);
}

/* An address did not answer in its share of the time, or the whole time to connect is over. */
static void
connect_timeout(struct upstream *u)
{
	if (u->connect_due_ms > 0 && clock_ms() >= u->connect_due_ms) {
		fail(u, UPSTREAM_CONNECT_TIME);
		return;
	}
	link_drop(u, CLOSE_FAILED);
	u->last_errno = ETIMEDOUT;
	connect_next(u);
}

static void
upstream_on_due(struct loop_timer *t)
{
	struct upstream *u = (struct upstream *)((char *)t - offsetof(struct upstream, timer));
	uint64_t now = clock_ms();

	if (u->total_due_ms > 0 && now >= u->total_due_ms) {
		fail(u, UPSTREAM_TOTAL_TIME);
	} else if (u->phase_due_ms == 0 || now < u->phase_due_ms) {
		timer_update(u);
	} else if (u->state == UPSTREAM_RESOLVING &&
		(u->connect_due_ms == 0 || now < u->connect_due_ms)) {
		connect_next(u);
	} else if (u->state == UPSTREAM_CONNECTING) {
		connect_timeout(u);
	} else if (u->state != UPSTREAM_TALKING) {
		fail(u, UPSTREAM_CONNECT_TIME);
	} else {
		fail(u, u->got_data ? UPSTREAM_IDLE_TIME : UPSTREAM_FIRST_BYTE_TIME);
	}
}

/* A new connection. */
static void
connect_begin(struct upstream *u)
{
	const struct conf_provider *p = u->provider;

	u->next_address = 0;
	u->connect_due_ms = p->timeouts.connect_ms > 0 ? clock_ms() + p->timeouts.connect_ms : 0;
	if (pool_make_room(&u->proxy->pools[p->index]))
		connect_next(u);
	else
		fail(u, UPSTREAM_FULL);
}

void
upstream_begin(struct upstream *u)
{
	if (u->state != UPSTREAM_STARTING)
		return;
	u->state = UPSTREAM_CONNECTING;
	if (u->message.replayable)
		u->link = pool_take(&u->proxy->pools[u->provider->index]);
	u->reused = u->link != NULL;
	if (u->reused)
		talk(u);
	else
		connect_begin(u);
}

void
upstream_start(struct upstream *u, struct proxy *p, const struct conf_provider *provider,
	const struct upstream_ops *ops, void *owner, const struct upstream_message *m)
{
	*u = (struct upstream){ .proxy = p,
		.provider = provider,
		.ops = ops,
		.owner = owner,
		.message = *m,
		.timer.on_due = upstream_on_due,
		.state = UPSTREAM_STARTING };
	if (provider->timeouts.total_ms > 0)
		u->total_due_ms = clock_ms() + provider->timeouts.total_ms;
}
