/*
 * openai_client_tools: tools and the choice among them, in a chat completion request.
 */
#ifndef DIALECT_OPENAI_CLIENT_TOOLS_H
#define DIALECT_OPENAI_CLIENT_TOOLS_H

#include "dialect/chat.h"

/* Read tools or functions, tool_choice or function_call, parallel_tool_calls. 0; -1: c->error. */
int tools_read(struct chat *c, struct chat_request *q);

#endif
