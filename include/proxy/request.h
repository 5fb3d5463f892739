/*
 * request: one HTTP request from its head to its log line: what is asked, of whom, how it is
 * answered.
 */
#ifndef PROXY_REQUEST_H
#define PROXY_REQUEST_H

#include "config/route.h"
#include "http/multipart.h"
#include "proxy/echo.h"
#include "proxy/relay.h"
#include "report/access.h"

/*
 * What a request tells the client's connection. Slices of `data` are valid until flush returns;
 * `reply` takes its slice at once.
 */
struct request_ops {
	/* Status line and fields, without framing, Connection and the empty line; empty: there was
	 * no memory for them. `length` for FRAMING_LENGTH. */
	void (*reply)(void *client, struct str head, enum framing kind, uint64_t length);
	void (*data)(void *client, struct str piece);
	void (*flush)(void *client);
	/* The reply is complete, or was cut (then it must not look whole; without `reply` before it
	 * there was no memory for one). The request waits to be freed. */
	void (*end)(void *client, bool whole);
	/* Go on reading the client's body, or stop for now. */
	void (*body)(void *client, bool wanted);
	/* Bytes that the client has not taken yet. */
	size_t (*backlog)(void *client);
};

#define REQUEST_TAIL 64

enum request_state {
	REQUEST_BODY,    /* the client's body is coming in */
	REQUEST_FORWARD, /* an attempt is under way */
	REQUEST_OVER,    /* answered: nothing more will be told */
};

/* The member of the body's top level whose value comes next. */
enum request_member { REQUEST_OTHER, REQUEST_MODEL, REQUEST_STREAM };

struct request {
	struct proxy *proxy;
	const struct request_ops *ops;
	void *client;
	struct arena arena;
	struct arena asked; /* what is needed until the provider has all and the reply has begun */
	struct loop_later freed;
	uint8_t state;

	/* what is asked */
	struct head head;
	struct head_framing framing;
	struct str path; /* decoded, normal */
	struct str id;
	unsigned path_number;            /* of the metrics */
	const struct endpoint *endpoint; /* NULL: the router's own path, or none */
	enum dialect_id dialect;
	const struct conf_client *key; /* who asks; NULL: the configuration names no clients */
	bool key_shown;                /* there is something where a key should be */
	bool charged;                  /* to the limits that apply */
	bool admin;                    /* came in by a listener that shows details */
	struct multipart *form;        /* the body is one, read by it; NULL: it is JSON */
	struct buf body;               /* what is stored of the body */
	uint64_t body_len;             /* bytes of it that came */
	size_t tail_len;
	uint32_t seen;  /* tokens looked at */
	uint8_t member; /* enum request_member, of the last key */
	bool streaming; /* the body is sent on as it comes */
	bool stored;    /* it will not be: the provider needs it whole */
	bool has_stream;
	char last; /* the last byte of a streaming body, held back until all of it is known to be
		      JSON */
	struct json_token model_token; /* of a form: where its content stands */
	struct str model;              /* decoded; p NULL: none was named */
	bool stream, include_usage;

	/* who is asked */
	struct route_match match;
	const struct conf_provider *provider;
	struct str target_model;
	unsigned model_label; /* of the metrics, where the provider does not name the model */
	unsigned attempts;
	bool is_echo;
	struct loop_later ask; /* a provider, at the end of the turn */
	union {
		struct upstream upstream;
		struct echo echo;
	};

	/* the provider speaks another dialect */
	struct chat *chat; /* NULL: it speaks the client's */
	struct buf sent;   /* the body that it gets */
	struct translate *translate;
	struct str fault_fields; /* field lines that go with its error */
	bool told_error;         /* it has ended its stream itself, with an error */

	/* the answer */
	struct relay relay;
	bool relaying, committed, paused, own_key, live /* a stream that wants heartbeats */;
	struct str reply_head;   /* composed when the provider's head came, sent with the commit */
	struct str content_type; /* the provider's */
	struct head_framing reply_framing;
	struct loop_timer heartbeat;

	/* the account */
	uint64_t began_us, ready_us /* its route can be looked for */, attempt_us, upstream_us,
		first_byte_us, began_wall_ms;
	uint64_t overhead_us;           /* neither the provider nor the client was waited for, */
	uint64_t worked_us;             /* up to this time */
	uint64_t bytes_out, beat_bytes; /* so many were out when the heartbeat was set */
	unsigned status, upstream_status;
	struct usage usage;
	bool has_usage;
	uint8_t end; /* enum access_end */
	struct str client_ip;

	/* not zero at first: what is large, and set before it is looked at */
	struct json_scan scan;
	char tail[REQUEST_TAIL]; /* the end of what streamed through, for keys that lie across reads
				  */
};

struct request_start {
	const struct request_ops *ops;
	void *client;
	struct str head;      /* the bytes of the head; copied */
	struct str client_ip; /* borrowed until the request is freed */
	bool admin;
	uint64_t began_us, began_wall_ms;
};

/*
 * A request whose head is `start->head`, whole. NULL without memory. The client then looks at
 * r->framing (whether a body follows), and calls request_begin. `fault` is HEAD_OK; else r can only
 * be answered: request_begin answers with that fault.
 */
struct request *request_new(struct proxy *p, const struct request_start *start,
	enum head_fault *fault);
/* A request that could not be read, so that it is answered and logged all the same: call
 * request_refuse next. NULL without memory. */
struct request *request_new_broken(struct proxy *p, const struct request_start *start);
/* Refuse for the way it came: framing, time, size. The connection should be closed after the reply.
 * `message` p NULL: the fault's own. */
void request_refuse(struct request *r, unsigned status, struct str message);
/* The head is accepted and a provider is to answer it: wait for the body, or refuse it at once. */
void request_begin(struct request *r);
/*
 * Where the next bytes of the body may be read to, and up to how many, so that they need not be
 * copied: into the store of a body whose length is known. What came goes to request_body next. NULL
 * where there is no such place.
 */
char *request_room(struct request *r, size_t *size);
/* The next bytes of the body, decoded; then its end. */
void request_body(struct request *r, struct str data);
void request_body_end(struct request *r);
/* The client's backlog has fallen below the low water mark. */
void request_drained(struct request *r);
/* The client has gone: everything is given up, nothing more is told. */
void request_gone(struct request *r, enum access_end why);
/* The router is being stopped: the client is told so. */
void request_stop(struct request *r);
/* Write the log line and free it at the end of the turn. */
void request_free(struct request *r);

/* For the modules of this floor that answer: a whole reply of the router's own. `extra`: more field
 * lines, each with CRLF. */
void request_answer(struct request *r, unsigned status, struct str type, struct str body,
	struct str extra);
/* An error in the client's dialect: before the commit the reply, after it the error event, or a
 * visible cut. */
void request_fail(struct request *r, const struct error *e, struct str extra);

#endif
