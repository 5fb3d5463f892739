/*
 * request_private: what the three parts of a request share: request.c (its life), request_body.c
 * and request_form.c (what is asked), attempt.c (who is asked, and the answer).
 */
#ifndef PROXY_REQUEST_PRIVATE_H
#define PROXY_REQUEST_PRIVATE_H

#include "proxy/request.h"

/* request.c: a failure with a message made up on the spot. */
void request_fail_text(struct request *r, enum error_kind kind, struct str message,
	struct str param);
/* request.c: the id that the head gives the request, else one that is made. */
void request_set_id(struct request *r);
/* request.c: an id that is made, whatever the head gives. */
void request_make_id(struct request *r);
/* request.c: there is no memory for it. */
void request_fail_memory(struct request *r);
/* request.c: the provider has the whole request, or nobody will ask again: its body and all else
 * that only asking needs is given back. */
void request_asked(struct request *r);
/* request.c: nothing more is told to the client but that it is over. */
void request_end(struct request *r, bool whole);

/* request_body.c: read what came of a JSON body, or its end. -1: the request was refused. */
int json_read(struct request *r, struct str piece);
int json_end(struct request *r);
/* request_form.c: the same of a form. form_begin: a form is to come; false when it was refused. */
bool form_begin(struct request *r);
int form_read(struct request *r, struct str piece);
int form_end(struct request *r);
/* request_form.c: can this name stand in the form? False when the request was refused for it. */
bool form_takes(struct request *r, struct str model);

/* request.c: the relay's part is over; usage is kept. */
void request_unrelay(struct request *r);

/* request.c: what was done from one time to the other, within a turn, was the router's own work;
 * what is counted already counts once. */
void request_worked(struct request *r, uint64_t from_us, uint64_t to_us);
/* request.c: what this turn has done so far was; the clock is read again, and told. */
uint64_t request_spent(struct request *r);

/* request.c: tell the client of an error, whatever is logged of the request's end. */
void request_tell(struct request *r, const struct error *e, struct str extra);

/* translation.c: does this provider need the request translated? */
bool translation_wanted(const struct endpoint *e, const struct conf_provider *p);
/* translation.c: translate the body for r->provider into r->sent. False when the request was
 * refused, or answered since it asks for nothing. */
bool translation_begin(struct request *r);
/* translation.c: where the dialects are the same: take out of a stored body what the provider is
 * known to refuse. False when the request was refused for want of memory. */
bool translation_mend(struct request *r);
/* translation.c: what of the provider's head matters beyond it, and with status 200 the way back.
 * False without memory. */
bool translation_head(struct request *r, const struct head *h);
/* translation.c: the provider's error (RELAY_FAULT) or that of its stream, told as the client's.
 * False: it refuses the key that the administrator gave, and nothing was told. */
bool translation_fault(struct request *r);
bool translation_error(struct request *r);

/* account.c: the request has ended, and its log line is written: count all that is known of it. */
void account_request(struct request *r);

/* attempt.c: find the route and ask the first target. The body is stored whole, or `streaming` is
 * set and it begins in r->body. */
void attempt_begin(struct request *r);
/* attempt.c: does the route lead to a provider that takes a body piece by piece? */
bool attempt_can_stream(struct request *r);
/* attempt.c: the next piece of a streaming body. */
void attempt_send(struct request *r, struct str piece);
/* attempt.c: give up what is under way. */
void attempt_close(struct request *r);
/* At the end of the turn in which it was found whom to ask. */
void attempt_ask(struct loop_later *later);
/* attempt.c: read the provider's reply, or wait. */
void attempt_pause(struct request *r, bool paused);

#endif
