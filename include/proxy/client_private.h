/*
 * client_private: what client.c, client_out.c and client_tls.c share.
 */
#ifndef PROXY_CLIENT_PRIVATE_H
#define PROXY_CLIENT_PRIVATE_H

#include "proxy/client.h"

/* client.c: want and timer follow from the state; called after each change. */
void client_update(struct client *c);

/* client.c: into another state; its place in the list of that is the newest. */
void client_enter(struct client *c, enum client_state state);
/* client.c: the end, at once. `end` is that of the request, where there is one. */
void client_close(struct client *c, enum access_end end, enum close_reason why);
/* client.c: our side is done; what still comes is thrown away for a while. */
void client_linger(struct client *c, enum close_reason why);
/* client.c: the request that is there, or a broken one made of what was `seen` of its head, is
 * refused, and the connection ends with that. */
void client_refuse_seen(struct client *c, struct str seen, unsigned status, const char *why);

/* client_tls.c: in the states up to CLIENT_AGAIN: something came. */
void client_tls_ready(struct client *c, unsigned ready);
/* client_tls.c: clients->turns.run: one that waits is heard. */
void client_tls_turn(struct loop_later *later);

/* client_out.c: bytes outside of any body: heads. Copied. */
void client_raw(struct client *c, struct str bytes);
/* client_out.c: the field Content-Length, likewise. */
void client_length(struct client *c, uint64_t length);
/* client_out.c: bytes of the reply's body; valid until the flush. */
void client_data(struct client *c, struct str piece);
/* client_out.c: send what is gathered; client_flush_last with the end of a chunked body. */
void client_flush(struct client *c);
void client_flush_last(struct client *c);
/* client_out.c: the client goes; what was gathered for it is dropped. */
void client_forget(struct client *c);
/* client_out.c: the socket takes bytes again. */
void client_write(struct client *c);

#endif
