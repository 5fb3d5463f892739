/*
 * openai_client_params: the parameters that chat completions and legacy completions have in common.
 */
#ifndef DIALECT_OPENAI_CLIENT_PARAMS_H
#define DIALECT_OPENAI_CLIENT_PARAMS_H

#include "dialect/chat.h"

/* A top-level parameter that is true or false; *value keeps what it was when it was not given. 0 or
 * -1. */
int param_bool(struct chat *c, struct chat_request *q, struct str name, bool *value);
/*
 * All that both protocols have: stream and its options, token limits, sampling, stop, n, user. The
 * numbers themselves stay with the adapters (chat_carry). 0 or -1.
 */
int params_read(struct chat *c, struct chat_request *q);

#endif
