/*
 * client_private: what client.c and client_out.c share.
 */
#ifndef PROXY_CLIENT_PRIVATE_H
#define PROXY_CLIENT_PRIVATE_H

#include "proxy/client.h"

/* client.c: want and timer follow from the state; called after each change. */
void client_update(struct client *c);

/* client_out.c: bytes outside of any body: heads. Copied. */
void client_raw(struct client *c, struct str bytes);
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
